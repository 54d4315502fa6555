// table.tsx - rows of a resource. Rows are keyed by id and changed in place:
// focus and reading position stay. On a phone each row is a card of its own,
// where a cell is named by its column.
import type { ComponentChildren } from 'preact';
import type { ApiError } from '../api/client';
import { Problem } from './problem';

export interface Column<T> {
  title: string;
  cell: (item: T) => ComponentChildren;
  className?: string;
}

export interface TableProps<T> {
  id: string;
  caption: string;
  columns: (Column<T> | false)[];
  items: readonly T[] | undefined;
  keyOf: (item: T) => string;
  empty: string;
  error?: ApiError | undefined;
}

export function Table<T>(props: TableProps<T>) {
  const { id, caption, items, keyOf, empty, error } = props;
  const columns = props.columns.filter((c) => c !== false);
  const note = error && !items ? <Problem error={error} /> : null;
  return (
    <div class="scroll">
      <table id={id} aria-busy={!items && !error}>
        <caption class="unseen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((c) => (
              <th key={c.title} scope="col" class={c.className}>
                {c.title}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {items?.map((item) => (
            <tr key={keyOf(item)} data-id={keyOf(item)}>
              {columns.map((c, i) =>
                i === 0 ? (
                  <th key={c.title} scope="row" class={c.className}>
                    {c.cell(item)}
                  </th>
                ) : (
                  <td key={c.title} data-title={c.title} class={c.className}>
                    {c.cell(item)}
                  </td>
                ),
              )}
            </tr>
          ))}
          {!items?.length && (
            <tr key="none" class="none">
              <td colSpan={columns.length}>
                {note ?? (items ? empty : 'Reading …')}
              </td>
            </tr>
          )}
        </tbody>
      </table>
    </div>
  );
}
