// names.ts - names for the ids that lists carry, asked for once each and only
// for what is shown.
import { useEffect } from 'preact/hooks';
import { ApiError, call, Cancelled } from './api/client';
import { session } from './session';
import { Store, useStore } from './store';

export type Kind = 'instance' | 'node' | 'project';

const PARALLEL = 4;
const MAX = 5000;

const known = new Store<ReadonlyMap<string, string>>(new Map());
const asked = new Set<string>();
const queue: [Kind, string][] = [];
let working = 0;

// Nothing of one sign-in is left to the next.
session.follow(() => {
  asked.clear();
  queue.length = 0;
  known.set(new Map());
});

async function ask(kind: Kind, id: string): Promise<string | null | undefined> {
  if (kind === 'instance')
    return (
      await call('get', '/v1/instances/{instance}', {
        params: { instance: id },
      })
    ).name;
  if (kind === 'node')
    return (await call('get', '/v1/nodes/{node}', { params: { node: id } }))
      .name;
  return (
    await call('get', '/v1/projects/{project}', { params: { project: id } })
  ).name;
}

async function work() {
  working++;
  for (let next = queue.shift(); next; next = queue.shift()) {
    const [kind, id] = next;
    const who = session.get();
    try {
      const name = await ask(kind, id);
      if (session.get() === who && name)
        known.set(new Map(known.get()).set(id, name));
    } catch (e) {
      // What is gone keeps its id; after an outage it is asked for again.
      if (e instanceof Cancelled || (e instanceof ApiError && !e.status))
        asked.delete(id);
      else if (!(e instanceof ApiError)) throw e;
    }
  }
  working--;
}

/** A name learned on the way: no question is needed. */
export function learn(items: readonly { id: string; name: string }[]) {
  const fresh = items.filter((i) => known.get().get(i.id) !== i.name);
  if (!fresh.length) return;
  const map = new Map(known.get().size > MAX ? [] : known.get());
  for (const i of fresh) {
    map.set(i.id, i.name);
    asked.add(i.id);
  }
  known.set(map);
}

/** Names by id; those that are not known yet come later. */
export function useNames(
  kind: Kind,
  ids: readonly (string | null | undefined)[],
): ReadonlyMap<string, string> {
  const names = useStore(known);
  const wanted = [...new Set(ids)].join(' ');
  useEffect(() => {
    for (const id of wanted.split(' ')) {
      if (!id || asked.has(id)) continue;
      asked.add(id);
      queue.push([kind, id]);
      if (working < PARALLEL) void work();
    }
  }, [kind, wanted]);
  return names;
}
