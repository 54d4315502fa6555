// sign-in.tsx - by user and password, or with a token of the API.
import { useEffect, useRef, useState } from 'preact/hooks';
import { ApiError, Cancelled } from '../api/client';
import { Problem } from '../components/problem';
import { signIn, signInByToken } from '../session';

export function SignIn(props: { reason: string }) {
  const [byToken, setByToken] = useState(false);
  const [error, setError] = useState<ApiError>();
  const [busy, setBusy] = useState(false);
  const first = useRef<HTMLInputElement>(null);
  const secret = useRef<HTMLInputElement>(null);

  useEffect(() => {
    document.title = 'Sign in – Virga';
  }, []);
  useEffect(() => {
    first.current?.focus();
  }, [byToken]);

  const submit = async () => {
    if (busy) return;
    setBusy(true);
    setError(undefined);
    try {
      const user = first.current?.value.trim() ?? '';
      await (byToken
        ? signInByToken(user)
        : signIn(user, secret.current?.value ?? ''));
      // The page that follows forgets the fields with what was typed.
    } catch (e) {
      setBusy(false);
      if (e instanceof Cancelled) return;
      if (!(e instanceof ApiError)) throw e;
      setError(e);
      if (secret.current) {
        secret.current.value = '';
        secret.current.focus();
      }
    }
  };

  return (
    <main id="login">
      <form
        onSubmit={(event) => {
          event.preventDefault();
          void submit();
        }}
      >
        <h1>Sign in</h1>
        <div role="alert" id="login-error">
          {error ? (
            <Problem error={error} />
          ) : (
            props.reason && <p>{props.reason}</p>
          )}
        </div>
        {byToken ? (
          <>
            <label for="token">Token</label>
            <input
              key="token"
              id="token"
              ref={first}
              type="password"
              required
              autocomplete="off"
              spellcheck={false}
              aria-describedby="token-help"
            />
            <p id="token-help" class="soft">
              It begins with <code>vt1.</code> and stays in this tab until you
              sign out or close it.
            </p>
          </>
        ) : (
          <>
            <label for="user">User</label>
            <input
              key="user"
              id="user"
              ref={first}
              required
              autocomplete="username"
              autocapitalize="none"
              spellcheck={false}
            />
            <label for="password">Password</label>
            <input
              id="password"
              ref={secret}
              type="password"
              required
              autocomplete="current-password"
            />
          </>
        )}
        <button type="submit" class="primary" aria-disabled={busy}>
          {busy ? 'Signing in …' : 'Sign in'}
        </button>
        <button
          type="button"
          class="plain"
          id="other-way"
          onClick={() => {
            setByToken(!byToken);
            setError(undefined);
          }}
        >
          {byToken ? 'Sign in by user and password' : 'Sign in with a token'}
        </button>
      </form>
    </main>
  );
}
