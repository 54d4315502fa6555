import { describe, expect, it } from 'vitest';
import { SseParser, type Message } from '../src/live/sse';

function parse(...chunks: string[]): Message[] {
  const got: Message[] = [];
  const parser = new SseParser((m) => got.push(m));
  for (const c of chunks) parser.push(c);
  return got;
}

describe('sse', () => {
  it('gives a message at its empty line', () => {
    expect(parse('id: 7\nevent: a\ndata: {"x":1}\n\n')).toEqual([
      { id: '7', event: 'a', data: '{"x":1}' },
    ]);
  });
  it('takes every end of line, split anywhere', () => {
    const text = 'id:1\r\ndata:a\r\rid:2\rdata:b\n\n';
    const want = [
      { id: '1', event: 'message', data: 'a' },
      { id: '2', event: 'message', data: 'b' },
    ];
    expect(parse(text)).toEqual(want);
    expect(parse(...Array.from(text))).toEqual(want);
  });
  it('joins lines of data, keeps the id, drops comments', () => {
    expect(parse(': hello\nid: 3\ndata: a\ndata: b\n\n:\n\ndata\n\n')).toEqual([
      { id: '3', event: 'message', data: 'a\nb' },
      { id: '3', event: 'message', data: '' },
    ]);
  });
  it('takes off one space and a byte order mark', () => {
    expect(parse('\uFEFFdata:  x\n\n')[0]?.data).toBe(' x');
  });
  it('gives nothing for a message that was cut off', () => {
    expect(parse('data: a\n')).toEqual([]);
  });
  it('gives up on a line without end', () => {
    expect(() => parse('data: ' + 'x'.repeat(1 << 20))).toThrow();
  });
});
