import { describe, expect, it } from 'vitest';
import { age, plain, seconds, short, size, span, when } from '../src/format';
import { period } from '../src/period';
import { href, parse } from '../src/router';

describe('format', () => {
  it('writes spans and ages', () => {
    expect([0, 59, 60, 3661, 90000].map(span)).toEqual([
      '0 s',
      '59 s',
      '1 min 0 s',
      '1 h 1 min',
      '1 d 1 h',
    ]);
    expect(age('2026-01-01T00:00:00Z', Date.UTC(2026, 0, 1, 0, 1))).toBe(
      '1 min 0 s',
    );
    expect(age(null)).toBe('–');
    expect(when('2026-11-22T23:11:36.123456Z')).toBe('2026-11-22 23:11:36 UTC');
  });
  it('writes sizes', () => {
    expect([0, 1023, 1024, 1536, 2 ** 40].map(size)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 KiB',
      '1 TiB',
    ]);
  });
  it('cuts decimals without making floats of them', () => {
    expect(short('12345678901234567890.123456')).toBe(
      '12345678901234567890.123',
    );
    expect(short(null)).toBe('0');
    expect(seconds('61.999999')).toBe('1 min 1 s');
  });
  it('drops what steers a terminal or the direction of writing', () => {
    expect(plain('\x1b[31mred\x1b[0m\r\n')).toBe('red\n');
    expect(plain('\x1b]0;title\x07a\x1b]0;t\x1b\\b\x1bPq\x1b\\c')).toBe('abc');
    expect(plain('a\u202eb\u0000\u009b\u2066c\td')).toBe('abc\td');
    expect(plain('<img src=x>')).toBe('<img src=x>');
  });
});

describe('period', () => {
  const now = new Date('2026-01-15T12:00:00Z');
  it('knows months across the turn of the year', () => {
    expect(period('month', now)).toEqual({ from: '2026-01-01T00:00:00Z' });
    expect(period('last-month', now)).toEqual({
      from: '2025-12-01T00:00:00Z',
      to: '2026-01-01T00:00:00Z',
    });
  });
  it('counts the last day in', () => {
    expect(period('days', now, '2026-01-01', '2026-01-02')).toEqual({
      from: '2026-01-01T00:00:00Z',
      to: '2026-01-03T00:00:00Z',
    });
  });
  it('asks for no future and for nothing that is no day', () => {
    expect(period('days', now, '2026-01-01', '2026-01-15')).toEqual({
      from: '2026-01-01T00:00:00Z',
    });
    expect(period('days', now, 'x"><script>', '')).toEqual({
      from: '2026-01-01T00:00:00Z',
    });
    expect(period('constructor', now)).toEqual({
      from: '2026-01-01T00:00:00Z',
    });
  });
});

describe('router', () => {
  it('reads back what it writes', () => {
    const to = href(['instances', 'a/b?c'], { filter: 'a=1,b', state: '' });
    expect(to).toBe('#/instances/a%2Fb%3Fc?filter=a%3D1%2Cb');
    expect(parse(to)).toEqual({
      path: ['instances', 'a/b?c'],
      query: { filter: 'a=1,b' },
    });
  });
  it('stands what was typed by hand', () => {
    expect(parse('#/%zz')).toEqual({ path: ['%zz'], query: {} });
    expect(parse('')).toEqual({ path: [], query: {} });
  });
});
