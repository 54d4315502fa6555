// operations.tsx - work that goes on: what is stuck first, with the reason.
import { useCallback } from 'preact/hooks';
import { call } from '../api/client';
import type { Event, Operation, Page } from '../api/types';
import { PAGE, Pager, usePaging } from '../components/pager';
import { View } from '../components/view';
import { useLive } from '../live/use-live';
import { replaceQuery } from '../router';
import { OperationTable } from './operation-table';

const STUCK_MS = 10_000; // time alone makes an operation stuck: no event says so

export const concernsOperations = (e: Event) =>
  e.resource_type === 'operation' || e.kind.startsWith('operation.');

/** The stuck ones; also for the number beside the link to here. */
export function useStuck() {
  const load = useCallback(
    async (signal: AbortSignal) =>
      (await call('get', '/v1/operations', {
        signal,
        query: { limit: String(PAGE), filter: 'stuck=true' },
      })) as Page<Operation>,
    [],
  );
  return useLive(load, concernsOperations, STUCK_MS);
}

export function Operations(props: { query: Record<string, string> }) {
  const { state = '' } = props.query;
  const paging = usePaging(state);
  const { token } = paging;
  const stuck = useStuck();
  const load = useCallback(
    async (signal: AbortSignal) =>
      (await call('get', '/v1/operations', {
        signal,
        query: {
          limit: String(PAGE),
          ...(token && { page_token: token }),
          ...(state && { filter: `state=${state}` }),
        },
      })) as Page<Operation>,
    [token, state],
  );
  const all = useLive(load, concernsOperations);
  const reload = () => {
    stuck.reload();
    all.reload();
  };
  return (
    <View title="Operations">
      <section aria-labelledby="h-stuck">
        <h2 id="h-stuck">Stuck</h2>
        <OperationTable
          id="stuck"
          caption="Stuck operations"
          items={stuck.data?.items}
          error={stuck.error}
          empty="Nothing is stuck."
          onDone={reload}
          resources
        />
      </section>
      <section aria-labelledby="h-all">
        <div class="bar">
          <h2 id="h-all">All, newest first</h2>
          <label>
            State{' '}
            <select
              id="operation-state"
              value={state}
              onChange={(e) => {
                replaceQuery({ state: e.currentTarget.value });
              }}
            >
              <option value="">all</option>
              <option>running</option>
              <option>failed</option>
              <option>succeeded</option>
              <option>cancelled</option>
            </select>
          </label>
        </div>
        <OperationTable
          id="operations"
          caption="Operations"
          items={all.data?.items}
          error={all.error}
          empty="No operations yet."
          onDone={reload}
          resources
        />
        <Pager
          paging={paging}
          shown={all.data?.items.length}
          next={all.data?.next_page_token}
          what="operations"
        />
      </section>
    </View>
  );
}
