// usage.tsx - what was used in a period, and by which instance.
import { useCallback } from 'preact/hooks';
import { useAccess } from '../access';
import { call } from '../api/client';
import type { Usage as UsageReply } from '../api/types';
import { PAGE, Pager, usePaging } from '../components/pager';
import { Problem } from '../components/problem';
import { Table } from '../components/table';
import { Facts, View } from '../components/view';
import { SearchField } from '../components/search-field';
import { seconds, short, when } from '../format';
import { useLive } from '../live/use-live';
import { useNames } from '../names';
import { replaceQuery } from '../router';
import { period, periods } from '../period';

const USAGE_MS = 10_000; // it grows by itself

export function Usage(props: { query: Record<string, string> }) {
  const { period: name = 'month', from = '', to = '' } = props.query;
  const { project = '' } = props.query;
  const { operator } = useAccess();
  const paging = usePaging([name, from, to, project].join());
  const { token } = paging;
  const load = useCallback(
    async (signal: AbortSignal): Promise<UsageReply> =>
      call('get', '/v1/usage', {
        signal,
        query: {
          ...period(name, new Date(), from, to),
          limit: String(PAGE),
          ...(token && { page_token: token }),
          ...(project && { project }),
        },
      }),
    [name, from, to, project, token],
  );
  const { data: u, error } = useLive(
    load,
    (e) => e.resource_type === 'instance',
    USAGE_MS,
  );
  const items = u?.items ?? undefined;
  const projects = useNames(
    'project',
    operator ? (items?.map((i) => i.project_id) ?? []) : [],
  );
  const set = (change: Record<string, string>) => {
    replaceQuery({ ...props.query, ...change });
  };
  const day = (label: string, key: 'from' | 'to', value: string) => (
    <label>
      {label}
      <input
        type="date"
        id={`usage-${key}`}
        value={value}
        onChange={(e) => {
          set({ [key]: e.currentTarget.value });
        }}
      />
    </label>
  );
  return (
    <View title="Usage">
      <form
        class="filters"
        role="search"
        aria-label="Period"
        onSubmit={(event) => {
          event.preventDefault();
        }}
      >
        <label>
          Period (UTC)
          <select
            id="period"
            value={name}
            onChange={(e) => {
              set({ period: e.currentTarget.value });
            }}
          >
            {Object.entries(periods).map(([key, title]) => (
              <option key={key} value={key}>
                {title}
              </option>
            ))}
          </select>
        </label>
        {name === 'days' && day('First day', 'from', from)}
        {name === 'days' && day('Last day', 'to', to)}
        {operator && (
          <label>
            Project
            <SearchField
              id="usage-project"
              value={project}
              placeholder="all"
              onEnter={(text) => {
                set({ project: text });
              }}
            />
          </label>
        )}
      </form>
      {error && u && error.status > 0 && <Problem error={error} />}
      <section aria-label="Sums" id="usage-sum">
        <Facts
          items={[
            ['Running', u ? seconds(u.running_seconds) : '–'],
            ['vCPU hours', u ? short(u.vcpu_hours) : '–'],
            ['Memory GiB hours', u ? short(u.memory_gib_hours) : '–'],
            ['Disk GiB hours', u ? short(u.disk_gib_hours) : '–'],
          ]}
        />
        <p class="soft">
          {u ? `${when(u.from)} to ${when(u.to)}` : 'Reading …'}
        </p>
      </section>
      <section>
        <Table
          id="usage"
          caption="Usage by instance"
          items={items}
          error={error}
          keyOf={(i) => i.instance_id ?? ''}
          empty="Nothing ran in this period."
          columns={[
            { title: 'Instance', cell: (i) => i.instance_name },
            operator && {
              title: 'Project',
              cell: (i) => projects.get(i.project_id ?? '') ?? '',
            },
            {
              title: 'Running',
              className: 'num',
              cell: (i) => seconds(i.running_seconds),
            },
            {
              title: 'vCPU hours',
              className: 'num',
              cell: (i) => short(i.vcpu_hours),
            },
            {
              title: 'Memory GiB hours',
              className: 'num',
              cell: (i) => short(i.memory_gib_hours),
            },
            {
              title: 'Disk GiB hours',
              className: 'num',
              cell: (i) => short(i.disk_gib_hours),
            },
          ]}
        />
        <Pager
          paging={paging}
          shown={items?.length}
          next={u?.next_page_token}
          what="instances"
        />
      </section>
    </View>
  );
}
