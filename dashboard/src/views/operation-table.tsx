// operation-table.tsx - operations, with what can be done about those that do
// not come to their end.
import { useAccess } from '../access';
import { call, type ApiError } from '../api/client';
import type { Operation } from '../api/types';
import { confirmed } from '../components/confirm';
import { attempt } from '../components/notice';
import { State } from '../components/state';
import { Table } from '../components/table';
import { age } from '../format';
import { useNames } from '../names';
import { href } from '../router';

const reason = (o: Operation) =>
  [o.problem?.message, o.reason].filter(Boolean).join(' – ');

function Resource(props: { operation: Operation; name: string | undefined }) {
  const { operation: o, name } = props;
  if (o.resource_type && o.resource_type !== 'instance')
    return (
      <>
        {o.resource_type} {name ?? o.resource_id}
      </>
    );
  return (
    <a href={href(['instances', o.resource_id])}>{name ?? o.resource_id}</a>
  );
}

export function OperationTable(props: {
  id: string;
  caption: string;
  items: readonly Operation[] | undefined;
  error: ApiError | undefined;
  empty: string;
  onDone: () => void;
  resources?: boolean;
}) {
  const { id, caption, items, error, empty, onDone, resources } = props;
  const { operator, change } = useAccess();
  const names = useNames(
    'instance',
    resources ? (items?.map((o) => o.resource_id) ?? []) : [],
  );
  const act = async (o: Operation, verb: 'Retry' | 'Undo' | 'Cancel') => {
    const what = `${verb} ${o.kind}`;
    const of = { params: { operation: o.id } };
    if (
      verb !== 'Retry' &&
      !(await confirmed(`${what}? It is taken back as far as it went.`, verb))
    )
      return;
    const done = await attempt(what, () =>
      verb === 'Retry'
        ? call('post', '/v1/operations/{operation}/retry', of)
        : verb === 'Undo'
          ? call('post', '/v1/operations/{operation}/undo', of)
          : call('post', '/v1/operations/{operation}/cancel', of),
    );
    if (done) onDone();
  };
  const button = (o: Operation, verb: 'Retry' | 'Undo' | 'Cancel') => (
    <button
      key={verb}
      type="button"
      aria-label={`${verb} ${o.kind} of ${names.get(o.resource_id) ?? o.resource_id}`}
      onClick={() => void act(o, verb)}
    >
      {verb}
    </button>
  );
  return (
    <Table
      id={id}
      caption={caption}
      items={items}
      error={error}
      empty={empty}
      keyOf={(o) => o.id}
      columns={[
        { title: 'What', cell: (o) => o.kind },
        resources === true && {
          title: 'Resource',
          cell: (o) => (
            <Resource operation={o} name={names.get(o.resource_id)} />
          ),
        },
        {
          title: 'State',
          cell: (o) => (
            <State
              word={o.stuck && o.state === 'running' ? 'stuck' : o.state}
              detail={reason(o)}
            />
          ),
        },
        {
          title: 'Step',
          cell: (o) =>
            (o.step ?? '') + (o.attempt > 1 ? ` (attempt ${o.attempt})` : ''),
        },
        {
          title: 'Began',
          cell: (o) => `${age(o.created_at)} ago`,
          className: 'num',
        },
        {
          title: 'Do',
          className: 'do',
          cell: (o) => {
            const hung = o.stuck || o.state === 'failed';
            return (
              <div class="actions">
                {operator && hung && button(o, 'Retry')}
                {operator && hung && button(o, 'Undo')}
                {change && o.can_cancel && button(o, 'Cancel')}
              </div>
            );
          },
        },
      ]}
    />
  );
}
