// nodes.tsx - the machines: how full they are, whether they report.
import { useCallback } from 'preact/hooks';
import { call } from '../api/client';
import type { Event, Node, Page } from '../api/types';
import { Capacity } from '../components/capacity';
import { attempt } from '../components/notice';
import { PAGE, Pager, usePaging } from '../components/pager';
import { Problem } from '../components/problem';
import { State } from '../components/state';
import { Table } from '../components/table';
import { Facts, View } from '../components/view';
import { age, size, when } from '../format';
import { useLive } from '../live/use-live';
import { learn } from '../names';
import { href } from '../router';

const NODES_MS = 10_000; // claims and reports change without events

const concerns = (e: Event) =>
  e.resource_type === 'node' || e.resource_type === 'instance';

const remarks = (n: Node) => {
  const strangers = n.quarantined.length;
  return [
    n.schedulable ? '' : 'cordoned',
    strangers ? `${strangers} unknown VM${strangers > 1 ? 's' : ''}` : '',
  ]
    .filter(Boolean)
    .join(', ');
};

function CordonButton(props: { node: Node; onDone: () => void }) {
  const { node: n, onDone } = props;
  const verb = n.schedulable ? 'Cordon' : 'Uncordon';
  const run = async () => {
    const of = { params: { node: n.id } };
    const done = await attempt(`${verb} ${n.name}`, () =>
      n.schedulable
        ? call('post', '/v1/nodes/{node}/cordon', of)
        : call('post', '/v1/nodes/{node}/uncordon', of),
    );
    if (done) onDone();
  };
  return (
    <button
      type="button"
      aria-label={`${verb} ${n.name}`}
      onClick={() => void run()}
    >
      {verb}
    </button>
  );
}

export function Nodes() {
  const paging = usePaging('');
  const { token } = paging;
  const load = useCallback(
    async (signal: AbortSignal) => {
      const page = (await call('get', '/v1/nodes', {
        signal,
        query: { limit: String(PAGE), ...(token && { page_token: token }) },
      })) as Page<Node>;
      learn(page.items);
      return page;
    },
    [token],
  );
  const { data, error, reload } = useLive(load, concerns, NODES_MS);
  return (
    <View title="Nodes">
      <section>
        <Table
          id="nodes"
          caption="Nodes"
          items={data?.items}
          error={error}
          keyOf={(n) => n.id}
          empty="No node has joined."
          columns={[
            {
              title: 'Name',
              cell: (n) => <a href={href(['nodes', n.id])}>{n.name}</a>,
            },
            {
              title: 'State',
              cell: (n) => <State word={n.state} detail={remarks(n)} />,
            },
            {
              title: 'vCPUs',
              cell: (n) => (
                <Capacity
                  label={`vCPUs of ${n.name}`}
                  used={n.vcpus_claimed}
                  limit={n.vcpus_limit}
                />
              ),
            },
            {
              title: 'Memory',
              cell: (n) => (
                <Capacity
                  label={`Memory of ${n.name}`}
                  used={n.memory_claimed_bytes}
                  limit={n.memory_limit_bytes}
                  format={size}
                />
              ),
            },
            {
              title: 'Disk',
              cell: (n) => (
                <Capacity
                  label={`Disk of ${n.name}`}
                  used={n.disk_claimed_bytes}
                  limit={n.disk_limit_bytes}
                  format={size}
                />
              ),
            },
            {
              title: 'Instances',
              cell: (n) => n.instances,
              className: 'num',
            },
            {
              title: 'Seen',
              cell: (n) =>
                n.last_seen_at ? `${age(n.last_seen_at)} ago` : '–',
              className: 'num',
            },
            {
              title: 'Do',
              className: 'do',
              cell: (n) => <CordonButton node={n} onDone={reload} />,
            },
          ]}
        />
        <Pager
          paging={paging}
          shown={data?.items.length}
          next={data?.next_page_token}
          what="nodes"
        />
      </section>
    </View>
  );
}

export function NodeView(props: { id: string }) {
  const { id } = props;
  const load = useCallback(
    async (signal: AbortSignal) =>
      (await call('get', '/v1/nodes/{node}', {
        signal,
        params: { node: id },
      })) as Node,
    [id],
  );
  const { data: n, error, reload } = useLive(load, concerns, NODES_MS);
  const back = <a href={href(['nodes'])}>All nodes</a>;

  if (!n)
    return (
      <View title="Node" aside={back}>
        {error ? <Problem error={error} /> : <p aria-busy="true">Reading …</p>}
      </View>
    );
  return (
    <View
      key={id}
      title={n.name}
      aside={
        <p class="head-state">
          <State word={n.state} detail={remarks(n)} />
        </p>
      }
    >
      <div class="actions">
        <CordonButton node={n} onDone={reload} />
      </div>
      <section aria-label="Capacity">
        <Facts
          items={[
            [
              'vCPUs',
              <Capacity
                key="v"
                label="vCPUs"
                used={n.vcpus_claimed}
                limit={n.vcpus_limit}
              />,
            ],
            [
              'Memory',
              <Capacity
                key="m"
                label="Memory"
                used={n.memory_claimed_bytes}
                limit={n.memory_limit_bytes}
                format={size}
              />,
            ],
            [
              'Disk',
              <Capacity
                key="d"
                label="Disk"
                used={n.disk_claimed_bytes}
                limit={n.disk_limit_bytes}
                format={size}
              />,
            ],
            ['Instances', n.instances],
            ['Processors', n.vcpus],
            ['Driver', [n.driver, n.accel].filter(Boolean).join(', ') || '–'],
            ['Hypervisor', n.hypervisor ?? '–'],
            ['Agent', n.version ?? '–'],
            ['Last seen', when(n.last_seen_at)],
            ['Joined', when(n.created_at)],
            ['Id', <code key="id">{n.id}</code>],
          ]}
        />
      </section>
      <Words
        title="Traits"
        id="traits"
        items={n.traits}
        empty="None: it is taken to have all."
      />
      <Words
        title="Quarantined"
        id="quarantined"
        items={n.quarantined}
        empty="No VM here that nobody asked for."
      />
    </View>
  );
}

function Words(props: {
  title: string;
  id: string;
  items: readonly string[];
  empty: string;
}) {
  const { title, id, items, empty } = props;
  return (
    <section aria-labelledby={`h-${id}`}>
      <h2 id={`h-${id}`}>{title}</h2>
      {items.length ? (
        <ul class="words" id={id}>
          {items.map((w) => (
            <li key={w}>
              <code>{w}</code>
            </li>
          ))}
        </ul>
      ) : (
        <p class="soft" id={id}>
          {empty}
        </p>
      )}
    </section>
  );
}
