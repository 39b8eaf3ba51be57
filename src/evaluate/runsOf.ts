import type { Engine } from '../engine/engine.js';

/** Number of concurrent batches: one more than workers, so that no worker waits for its next batch. */
export function runsOf({ status }: Pick<Engine, 'status'>): number {
  return status.workers.length + 1;
}
