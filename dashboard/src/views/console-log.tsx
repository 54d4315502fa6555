// console-log.tsx - the serial console's log: its end, and what is added to it
// while it is followed.
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { ApiError, Cancelled } from '../api/client';
import type { Instance } from '../api/types';
import { ConsoleText } from '../console';
import { plain } from '../format';

const FOLLOW_MS = 1000;
const REST_MS = 5000; // it does not run: little is to come

export function ConsoleLog(props: {
  id: string;
  name: string;
  state: Instance['state'];
}) {
  const { id, name, state } = props;
  const [follow, setFollow] = useState(true);
  const [shown, setShown] = useState({
    text: '',
    cut: false,
    note: 'Reading …',
  });
  const box = useRef<HTMLPreElement>(null);
  const log = useRef(new ConsoleText(id));
  if (log.current.of !== id) log.current = new ConsoleText(id);
  const rest = state === 'stopped' || state === 'error' || state === 'paused';

  useEffect(() => {
    const end = new AbortController();
    const source = log.current;
    let timer: ReturnType<typeof setTimeout> | undefined;
    const read = async () => {
      let wait = rest ? REST_MS : FOLLOW_MS;
      if (!document.hidden) {
        try {
          if (await source.more(end.signal)) wait = 0;
          setShown({ text: plain(source.text), cut: source.cut, note: '' });
        } catch (e) {
          if (end.signal.aborted || e instanceof Cancelled) return;
          if (!(e instanceof ApiError)) throw e;
          wait = REST_MS;
          setShown({
            text: plain(source.text),
            cut: source.cut,
            note: e.message,
          });
        }
      }
      if (!end.signal.aborted && follow)
        timer = setTimeout(() => void read(), wait);
    };
    void read();
    return () => {
      end.abort();
      clearTimeout(timer);
    };
  }, [id, follow, rest]);

  useLayoutEffect(() => {
    if (follow && box.current) box.current.scrollTop = box.current.scrollHeight;
  }, [shown.text, follow]);

  return (
    <section aria-labelledby="h-log">
      <div class="bar">
        <h2 id="h-log">Console</h2>
        <label class="check">
          <input
            type="checkbox"
            id="follow"
            checked={follow}
            onChange={(e) => {
              setFollow(e.currentTarget.checked);
            }}
          />
          Follow
        </label>
      </div>
      <p class="soft line" id="log-note">
        {shown.note || (shown.cut ? 'Earlier output is not shown.' : '')}
      </p>
      <pre
        id="log-text"
        ref={box}
        tabIndex={0}
        role="region"
        aria-label={`Console of ${name}`}
      >
        {shown.text || (shown.note ? '' : 'Nothing was written yet.')}
      </pre>
    </section>
  );
}
