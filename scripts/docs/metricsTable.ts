import { createMetrics } from '../../src/serve/operations/metrics.js';
import { registerState, type ServeState } from '../../src/serve/operations/stateMetrics.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The table of metrics in docs/service/reference.md, generated from the registry of /metrics. */

/** A metric of prom-client. Its own type lacks the labels. */
interface RegisteredMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

/** State of a server with decode processes, TLS and traces, so that every metric is registered. No value is read. */
const stateOfAllMetrics: ServeState = {
  models: () => [],
  decoder: () => ({
    state: 'ready',
    workers: [],
    restarts: { died: 0, hung: 0, broken: 0 },
    startFailures: { model_changed: 0, other: 0 },
    busySeconds: 0,
  }),
  storedFeatures: () => ({ hits: 0, misses: 0, evictions: 0, expirations: 0, entries: 0, bytes: 0 }),
  held: () => ({ requests: 0, answers: 0, maps: 0 }),
  isReady: () => true,
  modelDir: () => ({ readable: true, refused: [], refusals: 0 }),
  certificateExpires: () => new Date(0),
  spans: () => ({ exported: 0, queueFull: 0, exportFailed: 0 }),
};

/** The metrics of the service, without the default metrics of Node. */
export function registeredMetrics(): readonly RegisteredMetric[] {
  const { registry } = createMetrics();
  const stop = registerState(registry, stateOfAllMetrics);
  stop();
  // The returned objects have labelNames, which the types of prom-client lack.
  const metrics = registry.getMetricsAsArray() as unknown as RegisteredMetric[];
  return metrics.filter(({ name }) => name.startsWith('vicregl_'));
}

function metricsTable(): string {
  const metrics = [...registeredMetrics()].sort((a, b) => (a.name < b.name ? -1 : 1));
  return markdownTable(
    ['metric', 'type', 'labels', 'meaning'],
    metrics.map(({ name, type, labelNames, help }) => [`\`${name}\``, type, labelNames.join(', '), help]),
  );
}

/** docs/service/reference.md with the table between its two markers. @throws Error if the markers are missing. */
export function withMetricsTable(document: string): string {
  return withGenerated(document, 'metrics', metricsTable());
}
