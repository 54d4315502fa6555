// instance.tsx - one instance: what it is, its console, what was done to it.
import { useCallback } from 'preact/hooks';
import { useAccess } from '../access';
import { call } from '../api/client';
import type { Instance, Operation, Page } from '../api/types';
import { Problem } from '../components/problem';
import { State } from '../components/state';
import { Facts, View } from '../components/view';
import { age, size, when } from '../format';
import { useLive } from '../live/use-live';
import { useNames } from '../names';
import { go, href } from '../router';
import { ConsoleLog } from './console-log';
import { InstanceActions } from './instance-actions';
import { why } from './instances';
import { OperationTable } from './operation-table';

const HISTORY = 50;

export function InstanceView(props: { id: string }) {
  const { id } = props;
  const { change, operator } = useAccess();
  const load = useCallback(
    async (signal: AbortSignal) =>
      (await call('get', '/v1/instances/{instance}', {
        signal,
        params: { instance: id },
      })) as Instance,
    [id],
  );
  const { data: i, error, reload } = useLive(load, (e) => e.resource_id === id);
  const nodes = useNames('node', operator ? [i?.node_id] : []);
  const projects = useNames('project', operator ? [i?.project_id] : []);
  const back = <a href={href(['instances'])}>All instances</a>;

  if (error?.status === 404)
    return (
      <View title="No such instance" aside={back}>
        <p>It was deleted, or never was.</p>
      </View>
    );
  if (!i)
    return (
      <View title="Instance" aside={back}>
        {error ? <Problem error={error} /> : <p aria-busy="true">Reading …</p>}
      </View>
    );
  return (
    <View
      key={id}
      title={i.name}
      aside={
        <p class="head-state" id="instance-state">
          <State word={i.state} detail={why(i)} />
        </p>
      }
    >
      {change && (
        <InstanceActions
          instance={i}
          onDone={(action) => {
            if (action === 'Delete') go(['instances']);
            else reload();
          }}
        />
      )}
      <section aria-label="Facts">
        <Facts
          items={[
            ['Flavor', i.flavor],
            ['Image', i.image],
            ['vCPUs', i.vcpus],
            ['Memory', size(i.memory_bytes)],
            ['Disk', size(i.disk_bytes)],
            operator && ['Project', projects.get(i.project_id ?? '') ?? ''],
            operator && [
              'Node',
              i.node_id ? (
                <a href={href(['nodes', i.node_id])}>
                  {nodes.get(i.node_id) ?? '…'}
                </a>
              ) : (
                '–'
              ),
            ],
            ['Restart', `${i.restart_policy}, ${i.restart_count} so far`],
            ['Created', `${age(i.created_at)} ago`],
            ['Started', when(i.started_at)],
            ['Last end', i.last_end_reason ?? '–'],
            ['Keypairs', (i.keypairs ?? []).join(', ') || '–'],
            [
              'Labels',
              Object.entries((i.labels ?? {}) as Record<string, string>)
                .map(([k, v]) => (v ? `${k}=${v}` : k))
                .join(', ') || '–',
            ],
            ['Id', <code key="id">{i.id}</code>],
          ]}
        />
      </section>
      <ConsoleLog id={i.id} name={i.name} state={i.state} />
      <History id={i.id} />
    </View>
  );
}

function History(props: { id: string }) {
  const { id } = props;
  const load = useCallback(
    async (signal: AbortSignal) =>
      (await call('get', '/v1/operations', {
        signal,
        query: { limit: String(HISTORY), filter: `resource_id=${id}` },
      })) as Page<Operation>,
    [id],
  );
  const { data, error, reload } = useLive(load, (e) => e.resource_id === id);
  return (
    <section aria-labelledby="h-history">
      <h2 id="h-history">Operations</h2>
      <OperationTable
        id="history"
        caption="Operations of this instance"
        items={data?.items}
        error={error}
        empty="Nothing was done to it."
        onDone={reload}
      />
    </section>
  );
}
