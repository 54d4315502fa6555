// state.tsx - a state as a word with a coloured dot; the colour adds to the
// word and never stands alone.
const kinds: Record<string, 'good' | 'soft' | 'bad'> = {
  running: 'good',
  up: 'good',
  succeeded: 'good',
  stopped: 'soft',
  paused: 'soft',
  deleted: 'soft',
  cancelled: 'soft',
  error: 'bad',
  failed: 'bad',
  down: 'bad',
  stuck: 'bad',
};

export function State(props: { word: string; detail?: string | undefined }) {
  return (
    <>
      <span class={`state ${kinds[props.word] ?? 'busy'}`}>{props.word}</span>
      {props.detail && <small>{props.detail}</small>}
    </>
  );
}
