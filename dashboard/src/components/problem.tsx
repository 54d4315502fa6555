// problem.tsx - an RFC 9457 problem: its detail, the fields at fault, and the
// number by which an operator finds the request in the log.
import type { ApiError } from '../api/client';

export function Problem(props: { what?: string; error: ApiError }) {
  const { what, error } = props;
  return (
    <div class="problem">
      <p>
        {what && <strong>{what}: </strong>}
        {error.message}
      </p>
      {error.faults.length > 0 && (
        <ul>
          {error.faults.map((f) => (
            <li key={f.pointer + f.message}>
              {f.pointer && <code>{f.pointer}</code>} {f.message}
            </li>
          ))}
        </ul>
      )}
      {error.requestId && error.status >= 500 && (
        <p class="soft">
          Request <code>{error.requestId}</code>
        </p>
      )}
    </div>
  );
}
