import { status } from '@grpc/grpc-js';
import { statusReasons } from '../../src/serve/call/errors.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The table of status reasons in docs/service/reference.md, generated from the mapping of errors to statuses. */

/** One row per gRPC status that the service sends, in the order of the status numbers; reasons in alphabetical order. */
function reasonsTable(): string {
  const reasons = new Map<status, string[]>();
  for (const { code, reason } of statusReasons()) reasons.set(code, [...(reasons.get(code) ?? []), `\`${reason}\``]);
  const rows = [...reasons].sort(([a], [b]) => a - b);
  return markdownTable(
    ['status', 'reasons'],
    rows.map(([code, names]) => [status[code], names.sort().join(', ')]),
  );
}

/** docs/service/reference.md with the table between its two markers. @throws Error if the markers are missing. */
export function withReasonsTable(document: string): string {
  return withGenerated(document, 'status reasons', reasonsTable());
}
