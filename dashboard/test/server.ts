// server.ts - the API as the tests need it: replies by "METHOD /path", and a
// record of what was asked.
import { vi } from 'vitest';

export interface Asked {
  method: string;
  url: string;
  headers: Headers;
  body: unknown;
  credentials: string | undefined;
}

type Answer = (asked: Asked, init: RequestInit) => Response | Promise<Response>;

export function json(value: unknown, status = 200) {
  return new Response(JSON.stringify(value), { status });
}

export function problem(status: number, detail: string, more: object = {}) {
  return json({ type: 'about:blank', status, detail, ...more }, status);
}

export class Server {
  asked: Asked[] = [];
  private readonly routes = new Map<string, Answer>();

  on(route: string, answer: Answer) {
    this.routes.set(route, answer);
  }

  of(route: string) {
    return this.asked.filter(
      (a) => `${a.method} ${a.url.split('?')[0] ?? ''}` === route,
    );
  }

  install() {
    vi.stubGlobal('fetch', async (url: string, init: RequestInit = {}) => {
      const asked = {
        method: init.method ?? 'GET',
        url,
        headers: new Headers(init.headers),
        body:
          typeof init.body === 'string'
            ? (JSON.parse(init.body) as unknown)
            : undefined,
        credentials: init.credentials,
      };
      this.asked.push(asked);
      const answer = this.routes.get(
        `${asked.method} ${url.split('?')[0] ?? ''}`,
      );
      if (!answer) throw new TypeError('network');
      return answer(asked, init);
    });
    return this;
  }
}

/** An event stream that the test writes to and ends; it dies by its signal. */
export function stream(signal: AbortSignal | null | undefined) {
  let to: ReadableStreamDefaultController<Uint8Array> | undefined;
  const body = new ReadableStream<Uint8Array>({
    start(controller) {
      to = controller;
    },
  });
  signal?.addEventListener('abort', () => {
    try {
      to?.error(new DOMException('aborted', 'AbortError'));
    } catch {
      // it had ended before
    }
  });
  return {
    reply: new Response(body, {
      headers: { 'Content-Type': 'text/event-stream' },
    }),
    write: (text: string) => to?.enqueue(new TextEncoder().encode(text)),
    end: () => to?.close(),
  };
}
