// instances.tsx - the list: filters stand in the URL, so that a view of it can
// be kept or sent to someone.
import { useCallback } from 'preact/hooks';
import { useAccess } from '../access';
import { call } from '../api/client';
import type { Instance, Page } from '../api/types';
import { PAGE, Pager, usePaging } from '../components/pager';
import { Problem } from '../components/problem';
import { SearchField } from '../components/search-field';
import { State } from '../components/state';
import { Table } from '../components/table';
import { View } from '../components/view';
import { age } from '../format';
import { useLive } from '../live/use-live';
import { learn, useNames } from '../names';
import { href, replaceQuery } from '../router';

const STATES = [
  'running',
  'stopped',
  'paused',
  'error',
  'creating',
  'starting',
  'stopping',
  'rebooting',
  'pausing',
  'resuming',
  'rebuilding',
  'resizing',
  'deleting',
];

/** Why it is in this state, where that is worth a line. */
export function why(i: Instance): string {
  if (i.fault?.message) return i.fault.message;
  if (i.state === 'stopped' && i.stop_reason && i.stop_reason !== 'requested')
    return i.stop_reason;
  return '';
}

export function Instances(props: { query: Record<string, string> }) {
  const { operator } = useAccess();
  const { state = '', filter = '', project = '' } = props.query;
  const terms = [state && `state=${state}`, filter].filter(Boolean).join(',');
  const paging = usePaging(`${terms} ${project}`);
  const { token } = paging;

  const load = useCallback(
    async (signal: AbortSignal) => {
      const page = (await call('get', '/v1/instances', {
        signal,
        query: {
          limit: String(PAGE),
          ...(token && { page_token: token }),
          ...(terms && { filter: terms }),
          ...(project && { project }),
        },
      })) as Page<Instance>;
      learn(page.items);
      return page;
    },
    [token, terms, project],
  );
  const { data, error } = useLive(load, (e) => e.resource_type === 'instance');
  const nodes = useNames('node', data?.items.map((i) => i.node_id) ?? []);
  const projects = useNames(
    'project',
    operator ? (data?.items.map((i) => i.project_id) ?? []) : [],
  );
  const set = (change: Record<string, string>) => {
    replaceQuery({ ...props.query, ...change });
  };

  return (
    <View title="Instances">
      <form
        class="filters"
        role="search"
        aria-label="Instances"
        onSubmit={(event) => {
          event.preventDefault();
        }}
      >
        <label>
          State
          <select
            id="filter-state"
            value={state}
            onChange={(e) => {
              set({ state: e.currentTarget.value });
            }}
          >
            <option value="">all</option>
            {STATES.map((s) => (
              <option key={s}>{s}</option>
            ))}
          </select>
        </label>
        <label class="wide">
          Filter
          <SearchField
            id="filter"
            value={filter}
            placeholder="name=web-1, label.env=prod"
            onEnter={(text) => {
              set({ filter: text });
            }}
          />
        </label>
        {operator && (
          <label>
            Project
            <SearchField
              id="filter-project"
              value={project}
              placeholder="all"
              onEnter={(text) => {
                set({ project: text });
              }}
            />
          </label>
        )}
      </form>
      {error && data && error.status > 0 && <Problem error={error} />}
      <section>
        <Table
          id="instances"
          caption="Instances"
          items={data?.items}
          error={error}
          keyOf={(i) => i.id}
          empty={
            terms || project ? 'No instance is like that.' : 'No instances yet.'
          }
          columns={[
            {
              title: 'Name',
              cell: (i) => <a href={href(['instances', i.id])}>{i.name}</a>,
            },
            {
              title: 'State',
              cell: (i) => <State word={i.state} detail={why(i)} />,
            },
            { title: 'Flavor', cell: (i) => i.flavor },
            { title: 'Image', cell: (i) => i.image },
            operator && {
              title: 'Project',
              cell: (i) => projects.get(i.project_id ?? '') ?? '',
            },
            operator && {
              title: 'Node',
              cell: (i) =>
                i.node_id && (
                  <a href={href(['nodes', i.node_id])}>
                    {nodes.get(i.node_id) ?? '…'}
                  </a>
                ),
            },
            { title: 'Age', cell: (i) => age(i.created_at), className: 'num' },
          ]}
        />
        <Pager
          paging={paging}
          shown={data?.items.length}
          next={data?.next_page_token}
          what="instances"
        />
      </section>
    </View>
  );
}
