// events.tsx - what happened since the page was opened, as it comes.
import { State } from '../components/state';
import { Table } from '../components/table';
import { View } from '../components/view';
import type { Event } from '../api/types';
import { when } from '../format';
import { recent } from '../live/live';
import { href } from '../router';
import { useStore } from '../store';

const places: Record<string, string> = { instance: 'instances', node: 'nodes' };

function Resource(props: { event: Event }) {
  const { event: e } = props;
  const name = e.resource_name ?? e.resource_id ?? '';
  const place = places[e.resource_type ?? ''];
  return place && e.resource_id ? (
    <a href={href([place, e.resource_id])}>{name}</a>
  ) : (
    <>{name}</>
  );
}

export function Events() {
  const items = useStore(recent);
  return (
    <View title="Events">
      <section>
        <Table
          id="events"
          caption="Events, newest first"
          items={items}
          keyOf={(e) => String(e.seq)}
          empty="Nothing has happened since this page was opened."
          columns={[
            { title: 'When', cell: (e) => when(e.at), className: 'num' },
            { title: 'What', cell: (e) => e.kind },
            { title: 'Resource', cell: (e) => <Resource event={e} /> },
            {
              title: 'State',
              cell: (e) => e.state && <State word={e.state} />,
            },
            {
              title: 'Request',
              cell: (e) => e.request_id && <code>{e.request_id}</code>,
            },
          ]}
        />
      </section>
    </View>
  );
}
