// notice.tsx - what was done and what failed, in a corner: nothing on the page
// moves for it. Screen readers are told at once.
import { ApiError, Cancelled } from '../api/client';
import { reached } from '../session';
import { Store, useStore } from '../store';
import { Problem } from './problem';

const SHOWN_MS = 6000;

const done = new Store('');
const failed = new Store<{ what: string; error: ApiError } | null>(null);
let timer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string) {
  failed.set(null);
  done.set(text);
  clearTimeout(timer);
  timer = setTimeout(() => {
    done.set('');
  }, SHOWN_MS);
}

export function clearNotices() {
  done.set('');
  failed.set(null);
}

/** Does something that a click asked for; true if it was done. */
export async function attempt(
  what: string,
  work: () => Promise<unknown>,
): Promise<boolean> {
  try {
    await work();
  } catch (error) {
    if (error instanceof Cancelled) return false;
    if (!(error instanceof ApiError)) throw error;
    done.set('');
    failed.set({ what, error });
    return false;
  }
  say(`${what}: asked for.`);
  return true;
}

export function Notices() {
  const text = useStore(done);
  const fault = useStore(failed);
  const answers = useStore(reached);
  return (
    <div class="notices">
      <div role="alert" id="outage">
        {!answers && (
          <p class="notice bad">
            The controller cannot be reached. What is shown may be old; the page
            goes on as soon as it answers.
          </p>
        )}
      </div>
      <div role="alert" id="error">
        {fault && (
          <div class="notice bad">
            <Problem what={fault.what} error={fault.error} />
            <button
              type="button"
              onClick={() => {
                failed.set(null);
              }}
            >
              Dismiss
            </button>
          </div>
        )}
      </div>
      <div role="status" id="notice">
        {text && <p class="notice">{text}</p>}
      </div>
    </div>
  );
}
