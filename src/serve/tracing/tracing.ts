import type { CallSpan, CallTrace, RunSpan } from '../call/trace.js';

/** The headers or metadata of W3C Trace Context, as the caller sent them. */
export interface TraceHeaders {
  readonly traceparent?: string | undefined;
  readonly tracestate?: string | undefined;
}

export type SpanAttributes = Readonly<Record<string, string | number | undefined>>;

/** A call of which the metadata or the header has arrived. */
export interface ArrivedCall {
  /** Name of the span: that of the method or the route. */
  readonly name: string;
  /** When it arrived, as performance.now(). */
  readonly start: number;
  readonly headers: TraceHeaders;
  /** Attributes of the span; only called if it is recorded. */
  readonly attributes: () => SpanAttributes;
}

/** A run of an engine. */
export interface BegunRun {
  /** The calls of its images, in order. A call with several images is there several times. */
  readonly calls: readonly { readonly trace?: CallTrace }[];
  /** `name@version` of the model. */
  readonly model: string;
}

/** Counts of sampled spans that have ended. */
export interface SpanCounts {
  /** The collector accepted them. */
  readonly exported: number;
  /** The queue in front of the exporter was full. */
  readonly queueFull: number;
  /** The exporter could not send them. */
  readonly exportFailed: number;
}

/** Makes spans of calls and exports them. Nothing here throws, waits for the collector, or holds a call back. */
export interface Tracing {
  /** Begins the server span of a call: a child of the caller's span, or the root of a new trace. */
  call(arrived: ArrivedCall): CallSpan;
  /** Begins the span of a run, with a link to each of its calls. @returns undefined if none of them is sampled */
  run(begun: BegunRun): RunSpan | undefined;
  readonly counts: SpanCounts;
  /** Exports what has ended, for a limited time, and stops. */
  close(): Promise<void>;
}
