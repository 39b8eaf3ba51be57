import type { StatusCode } from '../../proto/status.js';
import type { ObservePhase, Phase } from './phases.js';

/** What a method needs to know of the call it answers. */
export interface Call {
  /** Aborted when the caller gives up or its deadline passes; the reason is the ServeError to answer with. */
  readonly signal: AbortSignal;
  /** When the caller stops waiting, as Date.now(); absent where it waits for ever. */
  readonly deadline?: number;
  /**
   * Whether it blocks when a bounded resource is exhausted (a queue, bytes, a gate), where others are rejected. So do the items
   * of a stream, whose sender can be made to wait; together they hold at most half of each resource.
   */
  readonly waitsForCapacity?: boolean;
  /** Told how long each phase took, in seconds. */
  readonly observe: ObservePhase;
  /**
   * Told the status of each item of a batch or a stream when its answer stands, with what it threw, and whether a run
   * began for it; absent where nobody counts.
   */
  readonly observeItem?: (code: StatusCode, error?: unknown, ran?: boolean) => void;
}

/** Runs one phase of a call, telling the call how long it took, also when it fails. */
export async function timed<T>(call: Call, phase: Phase, work: () => T | Promise<T>): Promise<T> {
  const start = performance.now();
  try {
    return await work();
  } finally {
    call.observe(phase, (performance.now() - start) / 1000);
  }
}
