import { beforeEach, describe, expect, it, vi } from 'vitest';
import { call } from '../src/api/client';
import {
  resume,
  session,
  signIn,
  signInByToken,
  signOut,
} from '../src/session';
import { json, problem, Server } from './server';

const who = { role: 'operator', user_name: 'ada', csrf_token: 'c1' };
let s: Server;

beforeEach(() => {
  vi.unstubAllGlobals();
  sessionStorage.clear();
  session.set({ phase: 'checking' });
  s = new Server().install();
});

describe('session', () => {
  it('is out without a word where there was none', async () => {
    s.on('GET /v1/whoami', () => problem(401, 'who are you?'));
    await resume();
    expect(session.get()).toEqual({ phase: 'out', reason: '' });
  });
  it('goes on after a reload, with a new CSRF token', async () => {
    s.on('GET /v1/whoami', () => json(who));
    s.on('POST /v1/logout', () => new Response(null, { status: 204 }));
    await resume();
    expect(session.get()).toMatchObject({ phase: 'in', byToken: false });
    await signOut();
    expect(s.asked.at(-1)?.headers.get('X-CSRF-Token')).toBe('c1');
    expect(session.get()).toEqual({ phase: 'out', reason: '' });
  });
  it('begins by user and password, and stores neither', async () => {
    s.on('POST /v1/login', () => json({ user: 'ada' }, 201));
    s.on('GET /v1/whoami', () => json(who));
    await signIn('ada', 'secret words');
    expect(s.asked[0]?.body).toEqual({
      user: 'ada',
      password: 'secret words',
      cookie: true,
    });
    expect(session.get().phase).toBe('in');
    expect(sessionStorage.length + localStorage.length).toBe(0);
  });
  it('does not begin with a wrong password', async () => {
    session.set({ phase: 'out', reason: '' });
    s.on('POST /v1/login', () => problem(401, 'wrong'));
    await expect(signIn('ada', 'x')).rejects.toThrow('Wrong');
    expect(session.get().phase).toBe('out');
  });
  it('keeps a token for this tab until the sign-out', async () => {
    s.on('GET /v1/whoami', () => json({ role: 'reader' }));
    await signInByToken(' vt1.x ');
    expect(sessionStorage.getItem('virga-token')).toBe('vt1.x');
    await signOut();
    expect(sessionStorage.length).toBe(0);
    expect(s.of('POST /v1/logout')).toEqual([]);
  });
  it('asks nobody about what cannot be a token', async () => {
    await expect(signInByToken('vt1.€')).rejects.toThrow('not a token');
    expect(s.asked).toEqual([]);
  });
  it('is not over where the controller was not reached', async () => {
    s.on('GET /v1/whoami', () => json(who));
    await resume();
    await expect(signOut()).rejects.toMatchObject({ status: 0 });
    expect(session.get().phase).toBe('in');
  });
  it('is over, with the reason, once any call says so', async () => {
    s.on('GET /v1/whoami', () => json(who));
    s.on('GET /v1/nodes', () => problem(401, 'this session has ended'));
    await resume();
    await expect(call('get', '/v1/nodes')).rejects.toThrow();
    expect(session.get()).toEqual({
      phase: 'out',
      reason: 'This session has ended',
    });
  });
});
