import type { ApiError } from '../shared/api.js';

/** What went wrong, in the service's words. */
export function Problem({ error, what }: { readonly error: ApiError | undefined; readonly what: string }) {
  if (!error) return null;
  return (
    <div class="problem" role="alert">
      <strong>{what}</strong> {error.message}
      {error.reason !== undefined && <code>{error.reason}</code>}
    </div>
  );
}
