// pager.tsx - pages by key: the API gives a token for the next page only, so
// the way back is remembered here.
import { useState } from 'preact/hooks';

export const PAGE = 100;

export interface Paging {
  token: string | undefined;
  number: number;
  next: (token: string) => void;
  back: () => void;
}

/** Begins anew when what is listed changes. */
export function usePaging(of: string): Paging {
  const [state, setState] = useState<{ of: string; tokens: string[] }>({
    of,
    tokens: [],
  });
  const tokens = state.of === of ? state.tokens : [];
  return {
    token: tokens.at(-1),
    number: tokens.length,
    next: (token) => {
      setState({ of, tokens: [...tokens, token] });
    },
    back: () => {
      setState({ of, tokens: tokens.slice(0, -1) });
    },
  };
}

export function Pager(props: {
  paging: Paging;
  shown: number | undefined;
  next: string | null | undefined;
  what: string;
}) {
  const { paging, shown, next, what } = props;
  const first = paging.number * PAGE + 1;
  const text =
    shown === undefined
      ? ''
      : !shown
        ? `No ${what}`
        : !next && !paging.number
          ? `${shown} ${what}`
          : `${first}–${first + shown - 1} of ${what}`;
  return (
    <nav class="pager" aria-label={`Pages of ${what}`}>
      <span aria-live="polite">{text}</span>
      <button
        type="button"
        disabled={!paging.number}
        onClick={() => {
          paging.back();
        }}
      >
        Previous
      </button>
      <button
        type="button"
        disabled={!next}
        onClick={() => {
          if (next) paging.next(next);
        }}
      >
        Next
      </button>
    </nav>
  );
}
