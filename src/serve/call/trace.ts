import type { Phase } from './phases.js';

/** The ids of a span as W3C Trace Context writes them, in lower-case hex. */
export interface SpanIds {
  /** 32 digits. */
  readonly traceId: string;
  /** 16 digits. */
  readonly spanId: string;
  /** Whether the span is recorded and exported. */
  readonly sampled: boolean;
}

/** How a call or an item ended. */
export interface SpanOutcome {
  /** Name of the gRPC status. */
  readonly code: string;
  /** Reason of the status' ErrorInfo; absent for OK. */
  readonly reason?: string | undefined;
  /** Of the HTTP listener: the status of the response; 499 if the caller went away before there was one. */
  readonly httpStatus?: number | undefined;
}

/** The span of a call, or of one item of a stream. Phases become its children. */
export interface CallTrace {
  readonly ids: SpanIds;
  /**
   * Adds a child for a phase, or a part of one, that ends now. After the end of the span it does nothing.
   * @param run the run of the engine that the phase is a part of
   */
  phase(phase: Phase, seconds: number, run?: SpanIds): void;
  /** Begins the span of one item of a stream, as a child. */
  item(): CallSpan;
}

/** A span that its holder ends. */
export interface CallSpan extends CallTrace {
  /** A second call does nothing. */
  end(outcome: SpanOutcome): void;
}

/** The span of one run of an engine for the images of several calls. */
export interface RunSpan {
  readonly ids: SpanIds;
  /** @param failed number of images without a result */
  end(failed: number): void;
}

/** The fields of the ids in log lines, by OpenTelemetry's "Trace Context in non-OTLP Log Formats". */
export function traceLogFields({ traceId, spanId, sampled }: SpanIds): Readonly<Record<string, string>> {
  return { trace_id: traceId, span_id: spanId, trace_flags: sampled ? '01' : '00' };
}
