import { beforeEach, describe, expect, it, vi } from 'vitest';
import {
  ApiError,
  call,
  Cancelled,
  setCredentials,
  setHooks,
  url,
} from '../src/api/client';
import { json, problem, Server } from './server';

const server = () => new Server().install();
const hook = vi.fn();
const reach = vi.fn();

beforeEach(() => {
  vi.unstubAllGlobals();
  hook.mockReset();
  reach.mockReset();
  setHooks(hook, reach);
  setCredentials({ signal: new AbortController().signal });
});

describe('client', () => {
  it('escapes what goes into a path', () => {
    expect(url('/v1/nodes/{node}', { node: '../x?y' })).toBe(
      '/v1/nodes/..%2Fx%3Fy',
    );
    expect(url('/v1/nodes', {}, { a: 'x&y', b: undefined })).toBe(
      '/v1/nodes?a=x%26y',
    );
    expect(() => url('/v1/nodes/{node}')).toThrow();
  });
  it('sends the CSRF token with changes only', async () => {
    const s = server();
    s.on('GET /v1/whoami', () => json({ role: 'reader' }));
    s.on('POST /v1/logout', () => new Response(null, { status: 204 }));
    setCredentials({ signal: new AbortController().signal, csrf: 'c' });
    await call('get', '/v1/whoami');
    await call('post', '/v1/logout');
    const [get, post] = s.asked;
    expect(get?.headers.has('X-CSRF-Token')).toBe(false);
    expect(post?.headers.get('X-CSRF-Token')).toBe('c');
    expect(post?.headers.get('Idempotency-Key')).toMatch(/^[0-9a-f-]{36}$/);
    expect(post?.credentials).toBe('same-origin');
  });
  it('sends no cookie beside a token', async () => {
    const s = server();
    s.on('GET /v1/whoami', () => json({ role: 'reader' }));
    setCredentials({ signal: new AbortController().signal, bearer: 't' });
    await call('get', '/v1/whoami');
    expect(s.asked[0]?.credentials).toBe('omit');
    expect(s.asked[0]?.headers.get('Authorization')).toBe('Bearer t');
  });
  it('gives a problem with its fields', async () => {
    server().on('POST /v1/login', () =>
      problem(422, 'the body is wrong', {
        code: 'invalid',
        request_id: 'r',
        errors: [{ pointer: '/user', code: 'x', message: 'too long' }],
      }),
    );
    const e = (await call('post', '/v1/login', {
      body: { user: 'a', password: 'b' },
    }).catch((x: unknown) => x)) as ApiError;
    expect(e).toBeInstanceOf(ApiError);
    expect(e).toMatchObject({
      status: 422,
      code: 'invalid',
      message: 'The body is wrong',
      requestId: 'r',
      faults: [{ pointer: '/user', message: 'too long' }],
    });
  });
  it('stands an answer that is no problem document', async () => {
    server().on('GET /v1/whoami', () => new Response('<h1>', { status: 502 }));
    await expect(call('get', '/v1/whoami')).rejects.toMatchObject({
      status: 502,
      message: 'The controller answered 502.',
    });
  });
  it('tells of an end of the session', async () => {
    server().on('GET /v1/whoami', () => problem(401, 'no'));
    await expect(call('get', '/v1/whoami')).rejects.toThrow('No');
    expect(hook).toHaveBeenCalledOnce();
  });
  it('tells whether the controller is reached', async () => {
    const s = server();
    await expect(call('get', '/v1/whoami')).rejects.toMatchObject({
      status: 0,
    });
    expect(reach).toHaveBeenLastCalledWith(false);
    s.on('GET /v1/whoami', () => json({ role: 'reader' }));
    await call('get', '/v1/whoami');
    expect(reach).toHaveBeenLastCalledWith(true);
  });
  it('gives nothing to one who signed out meanwhile', async () => {
    const end = new AbortController();
    server().on('GET /v1/whoami', () => {
      end.abort();
      return json({ role: 'operator' });
    });
    setCredentials({ signal: end.signal });
    await expect(call('get', '/v1/whoami')).rejects.toBeInstanceOf(Cancelled);
    expect(hook).not.toHaveBeenCalled();
  });
});
