/** The implementation of tracing by OpenTelemetry's SDK, and the only file that imports it. Load it only if calls are traced. */
import { randomUUID } from 'node:crypto';
import {
  type Context,
  createNoopMeter,
  DiagLogLevel,
  diag,
  type Link,
  type MeterProvider,
  ROOT_CONTEXT,
  type Span,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  trace,
} from '@opentelemetry/api';
import { setGlobalErrorHandler, W3CTraceContextPropagator } from '@opentelemetry/core';
import { defaultResource, detectResources, envDetector, resourceFromAttributes } from '@opentelemetry/resources';
import { BatchSpanProcessor, NodeTracerProvider, type SpanExporter } from '@opentelemetry/sdk-trace-node';
import type { Logger } from 'pino';
import type { SpanIds } from '../call/spanIds.js';
import type { CallSpan } from '../call/trace.js';
import { outcomeAttributes } from './attributes.js';
import { createDiagnostics } from './diagnostics.js';
import type { OtlpProtocol, TraceSettings } from './settings.js';
import { createSpanClock, type ToTime } from './spanClock.js';
import type { SpanAttributes, SpanCounts, TraceHeaders, Tracing } from './tracing.js';

/** Maximum children of the span of one call or item; a stream without end would otherwise make a trace without end. */
const MAX_CHILDREN = 1000;

/** Maximum length of a `tracestate` in characters; a longer one is dropped, as W3C Trace Context allows. */
const MAX_TRACESTATE = 512;

/** Milliseconds to export the last spans before the service ends, since a collector may be down. */
const CLOSE_MS = 3000;

async function createExporter(protocol: OtlpProtocol): Promise<SpanExporter> {
  switch (protocol) {
    case 'grpc':
      return new (await import('@opentelemetry/exporter-trace-otlp-grpc')).OTLPTraceExporter();
    case 'http/protobuf':
      return new (await import('@opentelemetry/exporter-trace-otlp-proto')).OTLPTraceExporter();
    case 'http/json':
      return new (await import('@opentelemetry/exporter-trace-otlp-http')).OTLPTraceExporter();
  }
}

/** Counts the spans that the SDK has processed, by its own metric (`otel.sdk.processor.span.processed`). */
function createSpanCounter(ended: (spans: number, error: string | undefined) => void): MeterProvider {
  const meter = Object.assign(Object.create(createNoopMeter()), {
    createCounter: () => ({
      add: (spans: number, attributes: Readonly<Record<string, unknown>> = {}) => {
        const error = attributes['error.type'];
        ended(spans, error === undefined ? undefined : String(error));
      },
    }),
  });
  return { getMeter: () => meter };
}

function idsOf(span: Span): SpanIds {
  const { traceId, spanId, traceFlags } = span.spanContext();
  return { traceId, spanId, sampled: (traceFlags & TraceFlags.SAMPLED) !== 0 };
}

const contextOf = ({ traceId, spanId }: SpanIds) => ({ traceId, spanId, traceFlags: TraceFlags.SAMPLED });

const linkTo = (ids: SpanIds): Link => ({ context: contextOf(ids) });

/** An item without a span of its own. */
function partOf(ids: SpanIds): CallSpan {
  return { ids, phase: () => {}, item: () => partOf(ids), end: () => {} };
}

/** The attributes that have a value. */
function defined(attributes: SpanAttributes): Record<string, string | number> {
  return Object.fromEntries(
    Object.entries(attributes).filter((entry): entry is [string, string | number] => entry[1] !== undefined),
  );
}

interface StartOptions {
  readonly logger: Pick<Logger, 'info' | 'warn'>;
  /** Version of the service. */
  readonly version: string;
}

/** @throws Error if the exporter cannot be created by the variables of the environment. */
export async function startOpenTelemetry(
  { protocol, propagated }: TraceSettings,
  { logger, version }: StartOptions,
): Promise<Tracing> {
  diag.setLogger(createDiagnostics(logger), { logLevel: DiagLogLevel.WARN, suppressOverrideMessage: true });
  const counts = { exported: 0, queueFull: 0, exportFailed: 0 } satisfies SpanCounts;
  let failing = false;
  // Called by the span processor with the error of a failed export.
  setGlobalErrorHandler((error) => {
    if (failing) return;
    failing = true;
    const reason = error instanceof Error ? error.message : String(error);
    logger.warn({ protocol, reason }, 'spans cannot be exported, and are dropped until they can');
  });
  const processor = new BatchSpanProcessor(await createExporter(protocol), {
    selfObsMeterProvider: createSpanCounter((spans, error) => {
      if (error === 'queue_full') counts.queueFull += spans;
      else if (error !== undefined) counts.exportFailed += spans;
      else {
        counts.exported += spans;
        if (failing) logger.info({ protocol }, 'spans are exported again');
        failing = false;
      }
    }),
  } as ConstructorParameters<typeof BatchSpanProcessor>[1]);
  const provider = new NodeTracerProvider({
    resource: defaultResource()
      .merge(
        resourceFromAttributes({
          'service.name': 'vicregl',
          'service.version': version,
          'service.instance.id': randomUUID(),
        }),
      )
      .merge(detectResources({ detectors: [envDetector] })),
    spanProcessors: [processor],
  });
  const tracer = provider.getTracer('vicregl', version);
  const propagator = new W3CTraceContextPropagator();
  const clock = createSpanClock();

  /** The caller's span as a context; the root context if there is none, or none that can be read. Baggage is never read. */
  function parentOf({ traceparent, tracestate }: TraceHeaders): Context {
    if (!propagated || traceparent === undefined) return ROOT_CONTEXT;
    const headers: Record<string, string | undefined> = {
      traceparent,
      ...(tracestate !== undefined && tracestate.length <= MAX_TRACESTATE && { tracestate }),
    };
    return propagator.extract(ROOT_CONTEXT, headers, {
      get: (carrier, key) => carrier[key],
      keys: (carrier) => Object.keys(carrier),
    });
  }

  /** A span with children. @param start as performance.now() */
  function callSpan(span: Span, start: number, toTime: ToTime): CallSpan {
    const ids = idsOf(span);
    const context = trace.setSpan(ROOT_CONTEXT, span);
    let children = 0;
    let ended = false;
    const hasRoom = (): boolean => ++children <= MAX_CHILDREN;
    return {
      ids,
      phase(phase, seconds, run) {
        if (!ids.sampled || ended || !hasRoom()) return;
        const now = performance.now();
        const links = run?.sampled ? [linkTo(run)] : [];
        tracer
          .startSpan(phase, { startTime: toTime(Math.max(start, now - seconds * 1000)), links }, context)
          .end(toTime(now));
      },
      item() {
        const now = performance.now();
        // Beyond the limit, and in a call that is not sampled, items are parts of their call.
        if (!ids.sampled || ended || !hasRoom()) return partOf(ids);
        return callSpan(tracer.startSpan('item', { startTime: toTime(now) }, context), now, toTime);
      },
      end(outcome) {
        if (ended) return;
        ended = true;
        if (!span.isRecording()) return;
        const { attributes, isError } = outcomeAttributes(outcome);
        const omitted = children > MAX_CHILDREN ? children - MAX_CHILDREN : undefined;
        span.setAttributes(defined({ ...attributes, 'vicregl.omitted_spans': omitted }));
        if (isError) span.setStatus({ code: SpanStatusCode.ERROR });
        span.end(toTime(performance.now()));
      },
    };
  }

  return {
    counts,
    call({ name, start, headers, attributes }) {
      const toTime = clock.origin();
      const span = tracer.startSpan(name, { kind: SpanKind.SERVER, startTime: toTime(start) }, parentOf(headers));
      if (span.isRecording()) span.setAttributes(defined(attributes()));
      return callSpan(span, start, toTime);
    },
    run({ calls, model }) {
      const sampled = new Map(
        calls.flatMap(({ trace: each }) => (each?.ids.sampled ? [[each.ids.spanId, each.ids] as const] : [])),
      );
      const [first] = sampled.values();
      if (!first) return undefined;
      const toTime = clock.origin();
      // A child of one of its calls, so that every sampler decides as it did for that call.
      const span = tracer.startSpan(
        'run',
        {
          startTime: toTime(performance.now()),
          links: [...sampled.values()].map(linkTo),
          attributes: { 'vicregl.model': model, 'vicregl.batch.images': calls.length },
        },
        trace.setSpanContext(ROOT_CONTEXT, contextOf(first)),
      );
      return {
        ids: idsOf(span),
        end(failed) {
          if (failed > 0) {
            span.setAttribute('vicregl.batch.failed_images', failed);
            span.setStatus({ code: SpanStatusCode.ERROR });
          }
          span.end(toTime(performance.now()));
        },
      };
    },
    async close() {
      let timer: NodeJS.Timeout | undefined;
      const late = new Promise<void>((resolve) => {
        timer = setTimeout(resolve, CLOSE_MS);
      });
      await Promise.race([provider.shutdown().catch(() => {}), late]);
      clearTimeout(timer);
    },
  };
}
