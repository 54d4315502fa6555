// capacity.tsx - how much of something is taken, as a bar and in words.
export function Capacity(props: {
  label: string;
  used: number;
  limit: number;
  format?: (n: number) => string;
}) {
  const { label, used, limit, format = String } = props;
  const text = `${format(used)} of ${format(limit)}`;
  return (
    <div class="capacity">
      <meter
        aria-label={label}
        aria-valuetext={text}
        min={0}
        max={Math.max(limit, 1)}
        high={Math.max(limit, 1) * 0.85}
        optimum={0}
        value={Math.min(used, Math.max(limit, 1))}
      />
      <span>{text}</span>
    </div>
  );
}
