import { createMetrics } from '../../src/serve/operations/metrics.js';
import { registerState, type ServeState } from '../../src/serve/operations/stateMetrics.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The table of metrics in docs/service/reference.md, made from the registry that /metrics shows. */

/** A metric as prom-client keeps it; its types leave the labels out. */
interface RegisteredMetric {
  readonly name: string;
  readonly help: string;
  readonly type: string;
  readonly labelNames: readonly string[];
}

/** A server with decode processes and TLS, so that every metric is registered; no value is read. */
const everything: ServeState = {
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
  certificateExpires: () => new Date(0),
};

/** The service's own metrics, without Node's, as prom-client registers them. */
export function registeredMetrics(): readonly RegisteredMetric[] {
  const { registry } = createMetrics();
  const stop = registerState(registry, everything);
  stop();
  // prom-client returns the metrics themselves, which have labels; its types leave these out.
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

/** docs/service/reference.md with the table between its two markers. @throws Error where the markers are missing. */
export function withMetricsTable(document: string): string {
  return withGenerated(document, 'metrics', metricsTable());
}
