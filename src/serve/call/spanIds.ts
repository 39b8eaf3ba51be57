/** The ids of a span as W3C Trace Context writes them, in lower-case hex. */
export interface SpanIds {
  /** 32 digits. */
  readonly traceId: string;
  /** 16 digits. */
  readonly spanId: string;
  /** Whether the span is recorded and exported. */
  readonly sampled: boolean;
}

/** The fields of the ids in log lines, by OpenTelemetry's "Trace Context in non-OTLP Log Formats". */
export function traceLogFields({ traceId, spanId, sampled }: SpanIds): Readonly<Record<string, string>> {
  return { trace_id: traceId, span_id: spanId, trace_flags: sampled ? '01' : '00' };
}
