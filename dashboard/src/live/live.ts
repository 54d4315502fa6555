// live.ts - the stream of events: one connection per visible page, resumed
// after the last event that came. Views listen and load anew what changed.
//
//   off --start()--> connecting --reply--> live --end, silence--> reconnecting
//    ^                    |                 ^                          |
//    +------ stop() ------+                 +---------- reply ---------+
//
// A hidden page has no stream (browsers allow six connections to a server for
// all of their tabs); it resumes where it was when it is looked at again.
import { ApiError, raw, url } from '../api/client';
import type { Event } from '../api/types';
import { Store } from '../store';
import { SseParser, type Message } from './sse';

export type LiveState = 'off' | 'connecting' | 'live' | 'reconnecting';

const SILENCE_MS = 60_000; // the controller says something more often
const FIRST_WAIT_MS = 500;
const MAX_WAIT_MS = 10_000;
const KEEP = 200;

export const liveState = new Store<LiveState>('off');
/** The latest events, newest first. */
export const recent = new Store<readonly Event[]>([]);

type Listener = (e: Event | null) => void;
const listeners = new Set<Listener>();
let run: AbortController | undefined;
let last = '';
let wait = FIRST_WAIT_MS;

/** Calls f for each event; with null when some may have been missed. */
export function listen(f: Listener): () => void {
  listeners.add(f);
  return () => {
    listeners.delete(f);
  };
}

function tell(e: Event | null) {
  for (const f of [...listeners]) f(e);
}

function onMessage(m: Message) {
  if (m.id) last = m.id;
  let e: Event;
  try {
    e = JSON.parse(m.data) as Event;
  } catch {
    return; // not an event of the API
  }
  if (typeof e.kind !== 'string') return;
  recent.set(
    [e, ...recent.get().filter((r) => r.seq !== e.seq)].slice(0, KEEP),
  );
  tell(e);
}

/** Reads one connection to its end. */
async function follow(signal: AbortSignal) {
  const query = last ? { since: last } : {};
  const headers: Record<string, string> = { Accept: 'text/event-stream' };
  if (last) headers['Last-Event-ID'] = last;
  const one = new AbortController();
  const stop = () => {
    one.abort();
  };
  signal.addEventListener('abort', stop);
  let timer = setTimeout(stop, SILENCE_MS);
  try {
    const reply = await raw('get', url('/v1/events', {}, query), {
      headers,
      signal: one.signal,
      stream: true,
    });
    const type = reply.headers.get('Content-Type') ?? '';
    if (!reply.body || !type.startsWith('text/event-stream')) {
      await reply.body?.cancel();
      throw new Error('not an event stream');
    }
    const parser = new SseParser(onMessage);
    const text = new TextDecoder();
    const reader = reply.body.getReader();
    wait = FIRST_WAIT_MS;
    liveState.set('live');
    tell(null);
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      clearTimeout(timer);
      timer = setTimeout(stop, SILENCE_MS);
      parser.push(text.decode(value, { stream: true }));
    }
  } finally {
    clearTimeout(timer);
    one.abort();
    signal.removeEventListener('abort', stop);
  }
}

const pause = (ms: number, signal: AbortSignal) =>
  new Promise<void>((done) => {
    const finish = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', finish);
      done();
    };
    const timer = setTimeout(finish, ms);
    signal.addEventListener('abort', finish);
  });

async function loop({ signal }: AbortController) {
  const over = () => signal.aborted;
  while (!over()) {
    try {
      await follow(signal);
    } catch (e) {
      if (e instanceof ApiError && e.status === 401) return;
      // What we ask to resume after is no longer there: begin with the new.
      if (e instanceof ApiError && last && [400, 404, 410].includes(e.status))
        last = '';
    }
    if (over()) return;
    liveState.set('reconnecting');
    await pause(wait * (0.75 + Math.random() / 2), signal);
    wait = Math.min(wait * 2, MAX_WAIT_MS);
  }
}

function connect() {
  run?.abort();
  run = new AbortController();
  void loop(run);
}

function onVisibility() {
  if (document.hidden) {
    run?.abort();
    run = undefined;
  } else if (!run) connect();
}

export function start() {
  stop();
  liveState.set('connecting');
  document.addEventListener('visibilitychange', onVisibility);
  if (!document.hidden) connect();
}

export function stop() {
  document.removeEventListener('visibilitychange', onVisibility);
  run?.abort();
  run = undefined;
  last = '';
  wait = FIRST_WAIT_MS;
  recent.set([]);
  liveState.set('off');
}
