// client.ts - one call of the REST API: its path, query, body and reply are
// typed by the OpenAPI document; whatever fails is an ApiError.
import type { paths } from './schema';
import type { Problem } from './types';

const TIMEOUT_MS = 20_000;

export type Method = 'get' | 'post' | 'put' | 'patch' | 'delete';

/** The paths that take a method. */
export type PathOf<M extends Method> = {
  [P in keyof paths]: paths[P][M] extends { responses: unknown } ? P : never;
}[keyof paths];

type Names<P> = P extends `${string}{${infer N}}${infer Rest}`
  ? N | Names<Rest>
  : never;
type Json<R> = R extends { content: { 'application/json': infer T } }
  ? T
  : undefined;
type ReplyOf<O> = O extends { responses: infer R }
  ? R extends { 200: infer A }
    ? Json<A>
    : R extends { 201: infer A }
      ? Json<A>
      : R extends { 202: infer A }
        ? Json<A>
        : undefined
  : never;
type QueryOf<O> = O extends { parameters: { query?: infer Q } } ? Q : never;
type BodyOf<O> = O extends {
  requestBody?: { content: { 'application/json': infer B } };
}
  ? B
  : never;

export interface Options<P extends keyof paths, M extends Method> {
  /** For the {names} of the path. */
  params?: Record<Names<P>, string>;
  query?: QueryOf<paths[P][M]>;
  body?: BodyOf<paths[P][M]>;
  signal?: AbortSignal;
}

/** One fault of a request, as RFC 9457 problems carry them. */
export interface Fault {
  pointer: string;
  message: string;
}

export class ApiError extends Error {
  /** status is 0 when no answer came. */
  constructor(
    readonly status: number,
    readonly code: string,
    detail: string,
    readonly faults: Fault[] = [],
    readonly requestId = '',
  ) {
    super(detail.charAt(0).toUpperCase() + detail.slice(1));
  }
}

export const unreachable = () =>
  new ApiError(0, 'unreachable', 'The controller cannot be reached.');

/** Whoever signed in: set by the session, read by every call. */
export interface Credentials {
  bearer?: string;
  csrf?: string;
  /** Ends all calls of this sign-in. */
  signal: AbortSignal;
}

let credentials: Credentials = { signal: new AbortController().signal };
let on401: (e: ApiError) => void = () => undefined;
let onReach: (reached: boolean) => void = () => undefined;

export function setCredentials(c: Credentials) {
  credentials = c;
}

/** What to do when the controller knows us no more, and when it is (not)
 * reached. */
export function setHooks(
  unauthorized: (e: ApiError) => void,
  reach: (reached: boolean) => void,
) {
  on401 = unauthorized;
  onReach = reach;
}

export async function problemOf(reply: Response): Promise<ApiError> {
  const p = (await reply.json().catch(() => ({}))) as Problem;
  return new ApiError(
    reply.status,
    p.code ?? '',
    p.detail ?? `The controller answered ${reply.status}.`,
    (p.errors ?? []).map((e) => ({
      pointer: e.pointer ?? '',
      message: e.message ?? '',
    })),
    p.request_id ?? '',
  );
}

/** A path with its {names} filled in and its query. */
export function url(
  path: string,
  params: Record<string, string> = {},
  query: Record<string, string | undefined> = {},
): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = params[name];
    if (value === undefined) throw new Error(`${path} lacks ${name}`);
    return encodeURIComponent(value);
  });
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query))
    if (value !== undefined && value !== '') search.set(name, value);
  const text = search.toString();
  return text ? `${filled}?${text}` : filled;
}

export interface RawOptions {
  headers?: Record<string, string>;
  body?: unknown;
  signal?: AbortSignal | undefined;
  /** The body is read by the caller, and may go on for ever. */
  stream?: boolean;
}

/** The reply with its body, which may still break off or stand still. */
async function whole(reply: Response, signals: AbortSignal[]) {
  const bytes = await reply.arrayBuffer().catch(() => {
    if (signals.some((s) => s.aborted)) throw new Cancelled();
    onReach(false);
    throw unreachable();
  });
  const { status, headers } = reply;
  return new Response(bytes.byteLength ? bytes : null, { status, headers });
}

/** A request with the present sign-in; resolves with a reply that is ok. */
export async function raw(
  method: Method,
  where: string,
  o: RawOptions = {},
): Promise<Response> {
  const { bearer, csrf, signal } = credentials;
  const headers: Record<string, string> = { ...o.headers };
  if (bearer) headers.Authorization = `Bearer ${bearer}`;
  if (csrf && method !== 'get') headers['X-CSRF-Token'] = csrf;
  if (method === 'post') headers['Idempotency-Key'] ??= crypto.randomUUID();
  if (o.body !== undefined) headers['Content-Type'] = 'application/json';

  const end = new AbortController();
  const abort = () => {
    end.abort();
  };
  const timer = o.stream ? 0 : setTimeout(abort, TIMEOUT_MS);
  const outer = [signal, o.signal].filter((s) => s !== undefined);
  if (outer.some((s) => s.aborted)) abort();
  for (const s of outer) s.addEventListener('abort', abort);
  try {
    const reply = await fetch(where, {
      method: method.toUpperCase(),
      headers,
      body: o.body === undefined ? null : JSON.stringify(o.body),
      signal: end.signal,
      cache: 'no-store',
      // A token speaks for itself; the cookie of another sign-in does not.
      credentials: bearer ? 'omit' : 'same-origin',
    }).catch(() => {
      if (outer.some((s) => s.aborted)) throw new Cancelled();
      onReach(false);
      throw unreachable();
    });
    if (outer.some((s) => s.aborted)) throw new Cancelled();
    onReach(true);
    if (reply.ok) return o.stream ? reply : await whole(reply, outer);
    const e = await problemOf(reply);
    if (reply.status === 401 && !signal.aborted) on401(e);
    throw e;
  } finally {
    clearTimeout(timer);
    // A stream goes on: these signals must still end it.
    if (!o.stream) for (const s of outer) s.removeEventListener('abort', abort);
  }
}

/** The caller went away: nobody is to be told. */
export class Cancelled extends Error {}

/** A typed call: get("/v1/nodes/{node}", {params: {node: "n1"}}). */
export async function call<M extends Method, P extends PathOf<M>>(
  method: M,
  path: P,
  o: Options<P, M> = {},
): Promise<ReplyOf<paths[P][M]>> {
  const reply = await raw(method, url(path, o.params, o.query as never), {
    body: o.body,
    signal: o.signal,
  });
  const text = await reply.text();
  return (text ? JSON.parse(text) : undefined) as ReplyOf<paths[P][M]>;
}
