// instance-actions.tsx - what can be done with an instance, and when. A button
// that does not apply now stays where it is, disabled: nothing jumps.
import { call } from '../api/client';
import type { Instance } from '../api/types';
import { attempt } from '../components/notice';
import { confirmed } from '../components/confirm';

interface Action {
  name: string;
  on: (i: Instance) => boolean;
  ask?: (name: string) => string;
  run: (id: string) => Promise<unknown>;
  danger?: boolean;
}

const one = (id: string) => ({ params: { instance: id } });
const within =
  (...states: Instance['state'][]) =>
  (i: Instance) =>
    !i.locked && states.includes(i.state);

export const actions: Action[] = [
  {
    name: 'Start',
    on: within('stopped', 'error'),
    run: (id) => call('post', '/v1/instances/{instance}/start', one(id)),
  },
  {
    name: 'Stop',
    on: within('running', 'creating', 'starting', 'rebooting', 'paused'),
    ask: (n) =>
      `Stop ${n}? Its power button is pressed; if the guest does not obey, ` +
      'it is ended by force.',
    run: (id) =>
      call('post', '/v1/instances/{instance}/stop', {
        ...one(id),
        body: { force: false },
      }),
  },
  {
    name: 'Force stop',
    on: within('stopping'),
    ask: (n) => `End ${n} by force? It gets no time to save anything.`,
    run: (id) =>
      call('post', '/v1/instances/{instance}/stop', {
        ...one(id),
        body: { force: true },
      }),
    danger: true,
  },
  {
    name: 'Reboot',
    on: within('running'),
    ask: (n) => `Reboot ${n}?`,
    run: (id) => call('post', '/v1/instances/{instance}/reboot', one(id)),
  },
  {
    name: 'Pause',
    on: within('running'),
    run: (id) => call('post', '/v1/instances/{instance}/pause', one(id)),
  },
  {
    name: 'Resume',
    on: within('paused'),
    run: (id) => call('post', '/v1/instances/{instance}/resume', one(id)),
  },
  {
    name: 'Delete',
    on: (i) =>
      !i.locked &&
      !i.delete_protection &&
      i.state !== 'deleting' &&
      i.state !== 'deleted',
    ask: (n) => `Delete ${n} and its disk? This cannot be undone.`,
    run: (id) => call('delete', '/v1/instances/{instance}', one(id)),
    danger: true,
  },
];

/** The pairs of which only one ever applies share a place. */
const shown = (a: Action, i: Instance) =>
  a.name === 'Force stop'
    ? i.state === 'stopping'
    : a.name === 'Stop'
      ? i.state !== 'stopping'
      : a.name === 'Resume'
        ? i.state === 'paused' || i.state === 'resuming'
        : a.name === 'Pause'
          ? i.state !== 'paused' && i.state !== 'resuming'
          : true;

export function InstanceActions(props: {
  instance: Instance;
  onDone: (action: string) => void;
}) {
  const { instance: i, onDone } = props;
  const run = async (a: Action) => {
    if (a.ask && !(await confirmed(a.ask(i.name), a.name))) return;
    if (await attempt(`${a.name} ${i.name}`, () => a.run(i.id))) onDone(a.name);
  };
  const change = async (
    what: string,
    body: { locked?: boolean; delete_protection?: boolean },
  ) => {
    const done = await attempt(`${what} ${i.name}`, () =>
      call('patch', '/v1/instances/{instance}', { ...one(i.id), body }),
    );
    if (done) onDone(what);
  };
  const lock = i.locked ? 'Unlock' : 'Lock';
  const protect = i.delete_protection ? 'Allow delete' : 'Protect';
  return (
    <div class="actions" role="group" aria-label={`Actions of ${i.name}`}>
      {actions.map(
        (a) =>
          shown(a, i) && (
            <button
              key={a.name}
              type="button"
              class={a.danger ? 'danger' : undefined}
              disabled={!a.on(i)}
              onClick={() => void run(a)}
            >
              {a.name}
            </button>
          ),
      )}
      <button
        type="button"
        onClick={() => void change(lock, { locked: !i.locked })}
      >
        {lock}
      </button>
      <button
        type="button"
        disabled={!!i.locked}
        onClick={() =>
          void change(protect, { delete_protection: !i.delete_protection })
        }
      >
        {protect}
      </button>
    </div>
  );
}
