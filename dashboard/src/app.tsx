// app.tsx - the page around the views: who is signed in, where to go, whether
// what is shown is live.
import { useEffect, useState } from 'preact/hooks';
import { useAccess } from './access';
import type { Whoami } from './api/types';
import { ConfirmDialog } from './components/confirm';
import { attempt, clearNotices, Notices } from './components/notice';
import icon from './icon.svg';
import { liveState, start, stop } from './live/live';
import { href, useRoute, type Route } from './router';
import { actIn, reached, session, signOut } from './session';
import { useStore } from './store';
import { Events } from './views/events';
import { InstanceView } from './views/instance';
import { Instances } from './views/instances';
import { Nodes, NodeView } from './views/nodes';
import { Operations, useStuck } from './views/operations';
import { SignIn } from './views/sign-in';
import { Usage } from './views/usage';

type Access = ReturnType<typeof useAccess>;

/** The views, in the order of the menu; id is what follows in the path. */
const places: {
  name: string;
  title: string;
  may: (a: Access) => boolean;
  view: (route: Route, id: string | undefined) => preact.JSX.Element;
}[] = [
  {
    name: 'instances',
    title: 'Instances',
    may: (a) => a.read,
    view: (r, id) =>
      id ? <InstanceView id={id} /> : <Instances query={r.query} />,
  },
  {
    name: 'nodes',
    title: 'Nodes',
    may: (a) => a.operator,
    view: (_, id) => (id ? <NodeView id={id} /> : <Nodes />),
  },
  {
    name: 'operations',
    title: 'Operations',
    may: (a) => a.read,
    view: (r) => <Operations query={r.query} />,
  },
  {
    name: 'usage',
    title: 'Usage',
    may: () => true,
    view: (r) => <Usage query={r.query} />,
  },
  {
    name: 'events',
    title: 'Events',
    may: (a) => a.read,
    view: () => <Events />,
  },
];

function LiveMark() {
  const state = useStore(liveState);
  const answers = useStore(reached);
  const word =
    state === 'live' && answers
      ? 'live'
      : state === 'connecting'
        ? 'connecting'
        : 'reconnecting';
  return (
    <p
      id="live"
      role="status"
      class={`state ${word === 'live' ? 'good' : 'busy'}`}
    >
      {word}
    </p>
  );
}

function StuckCount() {
  const { data } = useStuck();
  const n = data?.items.length ?? 0;
  if (!n) return null;
  return (
    <span class="count" id="n-stuck">
      {n}
      {data?.next_page_token ? '+' : ''} <span class="unseen">stuck</span>
    </span>
  );
}

function ProjectChoice(props: { who: Whoami }) {
  const { who } = props;
  const all = who.memberships ?? [];
  if (all.length < 2) return null;
  return (
    <label>
      <span class="unseen">Project</span>
      <select
        id="project"
        value={who.project_id ?? ''}
        onChange={(e) => {
          const to = e.currentTarget.value;
          void attempt('Change of project', () => actIn(to));
        }}
      >
        {all.map((m) => (
          <option key={m.project_id} value={m.project_id ?? ''}>
            {m.project}
          </option>
        ))}
      </select>
    </label>
  );
}

function SignedIn(props: { who: Whoami; byToken: boolean }) {
  const { who, byToken } = props;
  const route = useRoute();
  const access = useAccess();
  const allowed = places.filter((p) => p.may(access));
  const place = allowed.find((p) => p.name === route.path[0]) ?? allowed[0];
  const id = place?.name === route.path[0] ? route.path[1] : undefined;

  useEffect(() => {
    if (access.read) start();
    return stop;
  }, [access.read]);
  useEffect(() => clearNotices, []);

  return (
    <>
      <header>
        <p class="brand">
          <img src={icon} alt="" width="26" height="26" /> Virga
        </p>
        {access.read && <LiveMark />}
        <p id="who">
          {who.user_name ?? who.token_name ?? ''} ({who.role})
        </p>
        {!byToken && <ProjectChoice who={who} />}
        <button
          type="button"
          id="sign-out"
          onClick={() => void attempt('Sign out', signOut)}
        >
          Sign out
        </button>
      </header>
      <nav class="menu" aria-label="Views">
        {allowed.map((p) => (
          <a
            key={p.name}
            href={href([p.name])}
            aria-current={p === place ? 'page' : undefined}
          >
            {p.title}
            {p.name === 'operations' && <StuckCount />}
          </a>
        ))}
      </nav>
      <main id="app" tabIndex={-1}>
        {place?.view(route, id)}
      </main>
      <ConfirmDialog />
    </>
  );
}

function Checking() {
  const [late, setLate] = useState(false);
  useEffect(() => {
    const timer = setTimeout(() => {
      setLate(true);
    }, 500);
    return () => {
      clearTimeout(timer);
    };
  }, []);
  return <main aria-busy="true">{late && <p>One moment …</p>}</main>;
}

export function App() {
  const s = useStore(session);
  return (
    <>
      {s.phase === 'in' && (
        <SignedIn
          key={`${s.who.session_id ?? ''} ${s.who.project_id ?? ''}`}
          who={s.who}
          byToken={s.byToken}
        />
      )}
      {s.phase === 'out' && <SignIn reason={s.reason} />}
      {s.phase === 'checking' && <Checking />}
      <Notices />
    </>
  );
}
