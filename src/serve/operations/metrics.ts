import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from 'prom-client';
import type { Phase } from '../call/phases.js';
import type { SpanIds } from '../call/spanIds.js';

/** Seconds, from a cached response to a large map on a small CPU. */
const LATENCY_BUCKETS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * Reasons of failures with the code of a fault of the service, UNAVAILABLE, that are none: the caller violated HTTP/2, or outlasted the
 * age of its connection. Alerts and objectives subtract them.
 */
export const NO_FAULTS = ['CONNECTION_BROKEN', 'CONNECTION_AGED'] as const;

/**
 * The series of these reasons, 0 from the first call of a method on: Prometheus sees no increase of a series that begins with its first
 * event, while that of the code may be there already.
 */
function noFaultsOf(counter: Counter<'method' | 'reason'>): (method: string) => void {
  const begun = new Set<string>();
  return (method) => {
    if (begun.has(method)) return;
    begun.add(method);
    for (const reason of NO_FAULTS) counter.inc({ method, reason }, 0);
  };
}

/** The metrics of the service, in base units. */
export interface Metrics {
  readonly registry: Registry;
  requestStarted(method: string): void;
  /**
   * A call ended, whether its response was sent or not.
   * @param code name of the gRPC status
   * @param seconds from its message to its response, whether that was sent or not
   * @param exemplar its exported span
   */
  requestFinished(method: string, code: string, seconds: number, exemplar?: SpanIds): void;
  /** An item of a batch or a stream was answered. @param code name of its gRPC status */
  item(method: string, code: string): void;
  /** An item that was answered with an error. @param reason of the status' ErrorInfo */
  itemRejected(method: string, reason: string): void;
  /** An item whose deadline passed before a model ran for it. */
  itemDeadlineDropped(method: string): void;
  /**
   * A call that ended without being answered by a handler or an interceptor.
   * @param code name of the gRPC status that it ended with, `NO_MESSAGE` or `NOT_GRPC`
   */
  requestUnseen(method: string, code: string): void;
  /**
   * A call that was rejected before a handler saw it.
   * @param code name of the gRPC status
   * @param reason of the status' ErrorInfo
   */
  requestRefused(method: string, code: string, reason: string): void;
  /** A call that a handler answered with an error. @param reason of the status' ErrorInfo */
  requestRejected(method: string, reason: string): void;
  /** A call whose deadline passed before a model ran for it. */
  deadlineDropped(method: string): void;
  /** A message arrived, or was handed to HTTP/2, in bytes. */
  received(method: string, bytes: number): void;
  sent(method: string, bytes: number): void;
  /** @param exemplar the exported span of the call */
  phase(method: string, phase: Phase, seconds: number, exemplar?: SpanIds): void;
  batch(images: number): void;
  /** A request of the HTTP listener, whether it is for a method, a page or the health. */
  httpStarted(): void;
  /** @param route its pattern, or `unknown` @param status HTTP status; 499 if the caller went away before there was one */
  httpFinished(route: string, status: number): void;
}

/** Gauges of prom-client that end in _total like counters, and only sum up other metrics. */
const misnamed = ['nodejs_active_handles_total', 'nodejs_active_requests_total', 'nodejs_active_resources_total'];

/** The labels of an exemplar. Grafana and Tempo expect these names. */
function exemplarLabels(ids: SpanIds | undefined): Record<string, string> {
  return ids ? { trace_id: ids.traceId, span_id: ids.spanId } : {};
}

/** Metrics with a separate registry, so that several servers can run in one process. */
export function createMetrics(): Metrics {
  const registry = new Registry();
  collectDefaultMetrics({ register: registry });
  for (const name of misnamed) registry.removeSingleMetric(name);
  const registers = [registry];
  const requests = new Counter({
    name: 'vicregl_requests_total',
    help:
      'Finished calls by method and gRPC status; OK: the whole response was sent. Code NO_MESSAGE: the call ended before ' +
      'its whole message had arrived; NOT_GRPC: the request was not gRPC. Method unknown: no method has the path.',
    labelNames: ['method', 'code'],
    registers,
  });
  const items = new Counter({
    name: 'vicregl_items_total',
    help:
      'Answered items of batches and streams, and images of answered ModelInfer calls, by method and gRPC status; their calls are in ' +
      'vicregl_requests_total.',
    labelNames: ['method', 'code'],
    registers,
  });
  const latency = new Histogram({
    name: 'vicregl_request_duration_seconds',
    help: 'Time from the request message to the reply, by method.',
    labelNames: ['method'],
    buckets: LATENCY_BUCKETS,
    enableExemplars: true,
    registers: [],
  });
  const phases = new Histogram({
    name: 'vicregl_phase_duration_seconds',
    help:
      'Time of each phase, by method. decode: once per image and per PNG mask; queue and inference: once per image; match: ' +
      'once per match; receive, wait and encode: once per message (a call, or an item of a stream), as the sum of its parts.',
    labelNames: ['method', 'phase'],
    buckets: LATENCY_BUCKETS,
    enableExemplars: true,
    registers: [],
  });
  // Not by their constructor, which refuses exemplars for a registry that is not only of OpenMetrics (see `scrape`).
  for (const histogram of [latency, phases]) registry.registerMetric(histogram as unknown as Metric);
  const batches = new Histogram({
    name: 'vicregl_batch_images',
    help: 'Images in each run of an engine: the sum is the number of images, the count the number of batches.',
    buckets: [1, 2, 4, 8, 16, 32, 64],
    registers,
  });
  const rejected = new Counter({
    name: 'vicregl_requests_rejected_total',
    help: 'Calls that failed, by method and reason (google.rpc.ErrorInfo), such as OVERLOADED or UNAUTHENTICATED.',
    labelNames: ['method', 'reason'],
    registers,
  });
  const itemsRejected = new Counter({
    name: 'vicregl_items_rejected_total',
    help: 'Items of batches and streams that failed, by method and reason (google.rpc.ErrorInfo); their calls are answered.',
    labelNames: ['method', 'reason'],
    registers,
  });
  const received = new Counter({
    name: 'vicregl_received_bytes_total',
    help: 'Bytes of request messages, by method.',
    labelNames: ['method'],
    registers,
  });
  const sent = new Counter({
    name: 'vicregl_sent_bytes_total',
    help: 'Bytes of response messages, by method.',
    labelNames: ['method'],
    registers,
  });
  const inFlight = new Gauge({
    name: 'vicregl_requests_in_flight',
    help: 'Calls being answered, by method.',
    labelNames: ['method'],
    registers,
  });
  const deadlineDrops = new Counter({
    name: 'vicregl_deadline_drops_total',
    help: 'Calls whose deadline passed, or could not be met, before a model ran for them, by method.',
    labelNames: ['method'],
    registers,
  });
  const itemDeadlineDrops = new Counter({
    name: 'vicregl_item_deadline_drops_total',
    help: 'Items of batches and streams whose deadline passed, or could not be met, before a model ran for them, by method.',
    labelNames: ['method'],
    registers,
  });
  const httpRequests = new Counter({
    name: 'vicregl_http_requests_total',
    help:
      'Finished requests of the HTTP listener by route and HTTP status; 499: the caller went away. Requests for a method of the ' +
      'service are also in vicregl_requests_total, with those of gRPC.',
    labelNames: ['route', 'status'],
    registers,
  });
  const httpInFlight = new Gauge({
    name: 'vicregl_http_requests_in_flight',
    help: 'Requests of the HTTP listener that are open, from their header to the end of their response.',
    registers,
  });
  const beginRejected = noFaultsOf(rejected);
  const beginItemsRejected = noFaultsOf(itemsRejected);
  return {
    registry,
    httpStarted: () => httpInFlight.inc(),
    httpFinished(route, httpStatus) {
      httpInFlight.dec();
      httpRequests.inc({ route, status: String(httpStatus) });
    },
    requestStarted(method) {
      inFlight.inc({ method });
      beginRejected(method);
    },
    requestFinished(method, code, seconds, exemplar) {
      inFlight.dec({ method });
      requests.inc({ method, code });
      latency.observe({ labels: { method }, value: seconds, exemplarLabels: exemplarLabels(exemplar) });
    },
    item(method, code) {
      items.inc({ method, code });
      beginItemsRejected(method);
    },
    itemRejected: (method, reason) => itemsRejected.inc({ method, reason }),
    itemDeadlineDropped: (method) => itemDeadlineDrops.inc({ method }),
    requestUnseen: (method, code) => requests.inc({ method, code }),
    requestRefused(method, code, reason) {
      requests.inc({ method, code });
      rejected.inc({ method, reason });
    },
    requestRejected: (method, reason) => rejected.inc({ method, reason }),
    received: (method, bytes) => received.inc({ method }, bytes),
    sent: (method, bytes) => sent.inc({ method }, bytes),
    deadlineDropped: (method) => deadlineDrops.inc({ method }),
    phase: (method, phase, seconds, exemplar) =>
      phases.observe({ labels: { method, phase }, value: seconds, exemplarLabels: exemplarLabels(exemplar) }),
    batch: (images) => batches.observe(images),
  };
}
