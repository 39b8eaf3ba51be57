import type { Engine } from '../engine/engine.js';

/** Batches to have under way: one more than workers, so that none of them waits for its next. */
export function runsOf({ status }: Pick<Engine, 'status'>): number {
  return status.workers.length + 1;
}
