// session.ts - who is signed in. By user and password the session is a cookie
// that no script can read, and changes carry its CSRF token, which is kept in
// memory only. By token, the token stays in this tab's sessionStorage.
import {
  ApiError,
  call,
  Cancelled,
  setCredentials,
  setHooks,
} from './api/client';
import type { Whoami } from './api/types';
import { Store } from './store';

const KEPT = 'virga-token';

export type Session =
  | { phase: 'checking' }
  | { phase: 'out'; reason: string }
  | { phase: 'in'; who: Whoami; byToken: boolean };

export const session = new Store<Session>({ phase: 'checking' });
/** False while the controller does not answer. */
export const reached = new Store(true);

let end = new AbortController();
let bearer = '';

/** Ends what runs for the sign-in before, and begins a new one. */
function use(token: string, csrf?: string | null) {
  end.abort();
  end = new AbortController();
  bearer = token;
  setCredentials({
    signal: end.signal,
    ...(token && { bearer: token }),
    ...(csrf && { csrf }),
  });
}

/** The memory of the page is clean afterwards: views hold nothing. */
function forget(reason: string) {
  use('');
  sessionStorage.removeItem(KEPT);
  session.set({ phase: 'out', reason });
}

setHooks(
  (e) => {
    if (session.get().phase === 'in') forget(e.message);
  },
  (r) => {
    reached.set(r);
  },
);

async function enter(token: string) {
  use(token);
  const who = await call('get', '/v1/whoami');
  use(token, who.csrf_token);
  if (token) sessionStorage.setItem(KEPT, token);
  session.set({ phase: 'in', who, byToken: token !== '' });
}

/** After (re)loading the page: is there still a session? */
export async function resume() {
  const kept = sessionStorage.getItem(KEPT) ?? '';
  try {
    await enter(kept);
  } catch (e) {
    if (e instanceof Cancelled) return;
    if (e instanceof ApiError && e.status === 401)
      forget(kept ? e.message : '');
    else if (e instanceof ApiError && e.status === 0)
      setTimeout(() => {
        if (session.get().phase === 'checking') void resume();
      }, 2000);
    else forget(e instanceof Error ? e.message : '');
  }
}

export async function signIn(user: string, password: string) {
  use('');
  await call('post', '/v1/login', { body: { user, password, cookie: true } });
  await enter('');
}

export async function signInByToken(text: string) {
  const token = text.trim();
  if (!token || /[^!-~]/.test(token))
    throw new ApiError(401, 'bad_token', 'This is not a token.');
  try {
    await enter(token);
  } catch (e) {
    use('');
    throw e;
  }
}

/** A session by cookie ends at the controller; only then is it over. */
export async function signOut() {
  if (!bearer) await call('post', '/v1/logout');
  forget('');
}

export async function actIn(project: string) {
  await call('patch', '/v1/session', { body: { project } });
  const { byToken } = session.get() as { byToken: boolean };
  if (!byToken) await enter('');
}

// A page that the browser kept for its back button asks again who is there.
addEventListener('pageshow', (event) => {
  if (!event.persisted) return;
  session.set({ phase: 'checking' });
  void resume();
});
