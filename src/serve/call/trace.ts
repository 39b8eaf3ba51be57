import type { PhaseTrace } from './phases.js';
import type { SpanIds } from './spanIds.js';

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
export interface CallTrace extends PhaseTrace {
  readonly ids: SpanIds;
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
