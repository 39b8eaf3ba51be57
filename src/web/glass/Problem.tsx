import { useContext } from 'preact/hooks';
import type { ApiError } from '../shared/api.js';
import { SessionContext } from './session.js';

interface ProblemProps {
  readonly error: ApiError | undefined;
  readonly what: string;
  /** Whether the view tries again by itself. */
  readonly polled?: boolean;
}

/** What went wrong, in the service's words. */
export function Problem({ error, what, polled = false }: ProblemProps) {
  const { renew } = useContext(SessionContext);
  if (!error) return null;
  return (
    <div class="problem" role="alert">
      <strong>{what}</strong> {error.message}
      {error.reason !== undefined && <code>{error.reason}</code>}
      {!polled && (
        <button type="button" onClick={renew}>
          Try again
        </button>
      )}
    </div>
  );
}
