// use-live.ts - what a view shows, loaded and kept fresh: again after an event
// that matters to it, and now and then in any case, more often while no events
// come. What was known stays on the page when a load fails.
import { useCallback, useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, Cancelled } from '../api/client';
import type { Event } from '../api/types';
import { listen, liveState } from './live';

const AFTER_EVENT_MS = 250; // a burst of events is one load
const LIVE_MS = 30_000;
const POLL_MS = 3_000;

export interface Live<T> {
  data: T | undefined;
  error: ApiError | undefined;
  reload: () => void;
}

/** load must change (useCallback) when it would load something else. */
export function useLive<T>(
  load: (signal: AbortSignal) => Promise<T>,
  concerns: (e: Event) => boolean,
  liveMs = LIVE_MS,
): Live<T> {
  const [data, setData] = useState<{ of: typeof load; value: T }>();
  const [error, setError] = useState<ApiError>();
  const wants = useRef(concerns);
  const now = useRef<() => void>(() => undefined);
  wants.current = concerns;

  useEffect(() => {
    const end = new AbortController();
    let timer: ReturnType<typeof setTimeout> | undefined;
    let due = Infinity;
    let busy = false;

    const later = (ms: number) => {
      const at = Date.now() + ms;
      if (end.signal.aborted || at >= due) return;
      due = at;
      clearTimeout(timer);
      timer = setTimeout(() => void go(), ms);
    };
    const go = async () => {
      if (busy) {
        due = Infinity;
        later(AFTER_EVENT_MS);
        return;
      }
      due = Infinity;
      clearTimeout(timer);
      busy = true;
      try {
        const value = await load(end.signal);
        if (end.signal.aborted) return;
        setData({ of: load, value });
        setError(undefined);
      } catch (e) {
        if (end.signal.aborted || e instanceof Cancelled) return;
        if (!(e instanceof ApiError)) throw e;
        setError(e);
      } finally {
        busy = false;
        if (!document.hidden)
          later(liveState.get() === 'live' ? liveMs : POLL_MS);
      }
    };
    const shown = () => {
      if (!document.hidden) later(0);
    };
    now.current = () => {
      later(0);
    };
    const unlisten = listen((e) => {
      if (!e || wants.current(e)) later(AFTER_EVENT_MS);
    });
    document.addEventListener('visibilitychange', shown);
    void go();
    return () => {
      end.abort();
      clearTimeout(timer);
      unlisten();
      document.removeEventListener('visibilitychange', shown);
    };
  }, [load, liveMs]);

  const reload = useCallback(() => {
    now.current();
  }, []);
  // What belongs to another question is not shown as the answer to this one.
  return { data: data?.of === load ? data.value : undefined, error, reload };
}
