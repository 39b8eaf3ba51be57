import { withMetricsTable } from './metricsTable.js';
import { withServeConfigTable } from './serveConfigTable.js';
import { withReasonsTable } from './statusReasons.js';

/** docs/service/reference.md with all its generated parts. @throws Error if markers are missing. */
export function withServiceReference(document: string): string {
  return withMetricsTable(withReasonsTable(withServeConfigTable(document)));
}
