import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { setCredentials, setHooks } from '../src/api/client';
import { listen, liveState, recent, start, stop } from '../src/live/live';
import { problem, Server, stream } from './server';

const ROUTE = 'GET /v1/events';
const event = (seq: number) =>
  `id: ${seq}\nevent: instance.state\ndata: {"seq":${seq},` +
  `"kind":"instance.state"}\n\n`;

beforeEach(() => {
  vi.unstubAllGlobals();
  setHooks(
    () => undefined,
    () => undefined,
  );
  setCredentials({ signal: new AbortController().signal });
});
afterEach(() => {
  stop();
});

const heard = () => {
  const got: (number | null)[] = [];
  const off = listen((e) => got.push(e ? e.seq : null));
  return { got, off };
};

describe('live', () => {
  it('tells of events, newest first in the store', async () => {
    const s = new Server().install();
    s.on(ROUTE, (_, init) => {
      const one = stream(init.signal);
      one.write(event(1) + event(2));
      return one.reply;
    });
    const { got, off } = heard();
    start();
    expect(liveState.get()).toBe('connecting');
    await vi.waitFor(() => {
      expect(got).toEqual([null, 1, 2]);
    });
    expect(liveState.get()).toBe('live');
    expect(recent.get().map((e) => e.seq)).toEqual([2, 1]);
    expect(s.asked[0]?.headers.get('Accept')).toBe('text/event-stream');
    off();
  });
  it('resumes after the last event when the connection ends', async () => {
    const s = new Server().install();
    let n = 0;
    s.on(ROUTE, (_, init) => {
      const one = stream(init.signal);
      one.write(event(++n));
      if (n === 1) one.end();
      return one.reply;
    });
    const { got, off } = heard();
    start();
    await vi.waitFor(
      () => {
        expect(got).toEqual([null, 1, null, 2]);
      },
      { timeout: 10_000 },
    );
    expect(s.asked[0]?.headers.has('Last-Event-ID')).toBe(false);
    expect(s.asked[1]?.headers.get('Last-Event-ID')).toBe('1');
    expect(s.asked[1]?.url).toBe('/v1/events?since=1');
    off();
  });
  it('shows that it reconnects, and tries again', async () => {
    const s = new Server().install();
    start();
    await vi.waitFor(() => {
      expect(liveState.get()).toBe('reconnecting');
    });
    s.on(ROUTE, (_, init) => stream(init.signal).reply);
    await vi.waitFor(
      () => {
        expect(liveState.get()).toBe('live');
      },
      { timeout: 10_000 },
    );
  });
  it('begins with the new where the old is gone', async () => {
    const s = new Server().install();
    let n = 0;
    s.on(ROUTE, (asked, init) => {
      if (asked.headers.has('Last-Event-ID')) return problem(410, 'gone');
      const one = stream(init.signal);
      if (!n++) {
        one.write(event(5));
        one.end();
      }
      return one.reply;
    });
    start();
    await vi.waitFor(
      () => {
        expect(n).toBe(2);
        expect(liveState.get()).toBe('live');
      },
      { timeout: 10_000 },
    );
  });
  it('does not try on when the session is over', async () => {
    const s = new Server().install();
    s.on(ROUTE, () => problem(401, 'over'));
    start();
    await vi.waitFor(() => {
      expect(s.asked.length).toBe(1);
    });
    await new Promise((r) => setTimeout(r, 0));
    expect(liveState.get()).toBe('connecting');
  });
  it('stops at once', async () => {
    const s = new Server().install();
    let signal: AbortSignal | null | undefined;
    s.on(ROUTE, (_, init) => {
      signal = init.signal;
      return stream(signal).reply;
    });
    start();
    await vi.waitFor(() => {
      expect(liveState.get()).toBe('live');
    });
    stop();
    expect(signal?.aborted).toBe(true);
    expect(liveState.get()).toBe('off');
    expect(recent.get()).toEqual([]);
  });
  it('stands what is no event', async () => {
    const s = new Server().install();
    s.on(ROUTE, (_, init) => {
      const one = stream(init.signal);
      one.write(`data: {\n\ndata: {"kind":1}\n\n${event(9)}`);
      return one.reply;
    });
    const { got, off } = heard();
    start();
    await vi.waitFor(() => {
      expect(got).toEqual([null, 9]);
    });
    off();
  });
});
