import type { SpanIds } from './spanIds.js';

/**
 * Phases of a request that are timed.
 * - `receive`: parsing the message
 * - `wait`: waiting for a slot to decode, match, pool or reduce, and for the bytes of maps
 * - `decode`: decoding, cropping and resizing images, and decoding PNG masks
 * - `queue`: waiting for a worker, and for a place in its queue
 * - `inference`: the run of the batch
 * - `match`: matching
 * - `encode`: pooling, PCA, normalising, converting and serialising
 */
export type Phase = 'receive' | 'wait' | 'decode' | 'queue' | 'inference' | 'match' | 'encode';

/**
 * Phases that consist of several parts in one message, such as the tensors of each image of a batch. They are reported once for
 * each message, as the sum of the parts: quantiles over the parts would mix different kinds of work.
 */
const SUMMED: ReadonlySet<Phase> = new Set(['wait', 'encode']);

/** What a trace needs to know of a phase, in addition to its duration. */
export interface PhaseDetails {
  /** Seconds of the phase that end now; an earlier part is already traced. Default: the whole phase. */
  readonly recent?: number;
  /** Of `inference`: the run. */
  readonly run?: SpanIds | undefined;
}

/** Called with the duration of a phase in seconds, when the phase ends. */
export type ObservePhase = (phase: Phase, seconds: number, details?: PhaseDetails) => void;

/** The part of a call's trace that gets its phases. */
export interface PhaseTrace {
  /**
   * Adds a child for a phase, or a part of one, that ends now. After the end of the call's span it does nothing.
   * @param run the run of the engine that the phase is a part of
   */
  phase(phase: Phase, seconds: number, run?: SpanIds): void;
}

/** Called with a duration in seconds, for statistics. */
type ReportPhase = (phase: Phase, seconds: number) => void;

/** Records the duration of each phase of one message, and reports it to a listener that keeps statistics. */
export interface PhaseRecorder {
  /** Seconds of each phase so far. */
  readonly seconds: ReadonlyMap<Phase, number>;
  /** Records a phase, or a part of one. */
  readonly observe: ObservePhase;
  /** Reports the phases that are summed. Call it when the message is answered or has failed. */
  finish(): void;
  /**
   * A recorder for one message of a stream. Its durations are also reported here and added to `seconds`.
   * @param trace of the item
   */
  forItem(trace?: PhaseTrace): PhaseRecorder;
}

/**
 * @param report called with each phase when it ends, and by `finish` once with each phase that is summed
 * @param trace called with each phase, or part of one, when it ends
 */
export function createPhaseRecorder(report: ReportPhase, trace?: PhaseTrace): PhaseRecorder {
  const seconds = new Map<Phase, number>();
  const unreported = new Map<Phase, number>();
  const add = (sums: Map<Phase, number>, phase: Phase, took: number): void => {
    sums.set(phase, (sums.get(phase) ?? 0) + took);
  };
  return {
    seconds,
    observe(phase, took, { recent = took, run } = {}) {
      trace?.phase(phase, recent, run);
      add(seconds, phase, took);
      if (SUMMED.has(phase)) add(unreported, phase, took);
      else report(phase, took);
    },
    finish() {
      for (const [phase, sum] of unreported) report(phase, sum);
      unreported.clear();
    },
    forItem: (ofItem) =>
      createPhaseRecorder((phase, took) => {
        add(seconds, phase, took);
        report(phase, took);
      }, ofItem),
  };
}
