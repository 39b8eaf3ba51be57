import type { StatusCode } from '../../proto/status.js';
import type { ObservePhase, Phase } from './phases.js';
import type { CallTrace } from './trace.js';

/** The call that a method answers, as far as the method needs it. */
export interface Call {
  /** Aborted when the caller gives up or the deadline passes; the reason is the ServeError to answer with. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting, as Date.now(); absent for a call without a deadline. */
  readonly deadline?: number;
  /**
   * Whether it blocks when a bounded resource is exhausted (a queue, bytes, a gate), where others are rejected. So do the items
   * of a stream, whose sender can be made to wait; together they hold at most half of each resource.
   */
  readonly waitsForCapacity?: boolean;
  /** Called with the duration of each phase in seconds. */
  readonly observe: ObservePhase;
  /** Its span, or that of the item; absent if calls are not traced. `observe` already reports phases to it. */
  readonly trace?: CallTrace;
  /**
   * Called when an item of a batch or a stream is answered: with its status, its error if it failed, and whether a run of the
   * engine began for it. Absent where items are not counted.
   */
  readonly observeItem?: (code: StatusCode, error?: unknown, ran?: boolean) => void;
}

/** Runs one phase of a call, or a part of one, and reports its duration to the call, also if it fails. */
export async function timed<T>(call: Call, phase: Phase, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    call.observe(phase, (performance.now() - start) / 1000);
  }
}
