import { type Metric, Registry } from 'prom-client';
import { preferredType } from './accept.js';

const TEXT = 'text/plain';
const OPEN_METRICS = 'application/openmetrics-text';

/** The metrics of a registry as a response. */
export interface Scrape {
  readonly contentType: string;
  readonly text: string;
}

/**
 * The metrics in the format that a scraper prefers: OpenMetrics, which has exemplars, only if it asks for it, as Prometheus does.
 * @param accept its header `accept`
 */
export async function scrape(registry: Registry, accept = '*/*'): Promise<Scrape> {
  if (preferredType(accept, [TEXT, OPEN_METRICS]) !== OPEN_METRICS) {
    return { contentType: registry.contentType, text: await registry.metrics() };
  }
  // prom-client renames the counters of a registry that it writes as OpenMetrics, and has one format for each registry: a second
  // registry has objects that inherit everything from the metrics but keep a name of their own.
  const open = new Registry<typeof Registry.OPENMETRICS_CONTENT_TYPE>();
  open.setContentType(Registry.OPENMETRICS_CONTENT_TYPE);
  for (const metric of registry.getMetricsAsArray()) open.registerMetric(Object.create(metric) as Metric);
  return { contentType: open.contentType, text: await open.metrics() };
}
