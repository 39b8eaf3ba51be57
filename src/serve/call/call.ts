import type { StatusCode } from '../../proto/status.js';
import type { ObservePhase, Phase } from './phases.js';

/** What a method needs to know of the call that it answers. */
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
  /** Told how long each phase took, in seconds. */
  readonly observe: ObservePhase;
  /**
   * Told the status of each item of a batch or a stream when it is answered, the error of one that failed, and whether a run of the
   * engine began for it; absent where items are not counted.
   */
  readonly observeItem?: (code: StatusCode, error?: unknown, ran?: boolean) => void;
}

/** Runs one phase of a call, or a part of one, and tells the call how long it took, also when it fails. */
export async function timed<T>(call: Call, phase: Phase, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    call.observe(phase, (performance.now() - start) / 1000);
  }
}
