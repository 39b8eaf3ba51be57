import type { Collectives } from './collectives.js';

export interface TimedCollectives extends Collectives {
  /** Milliseconds that this rank has spent in operations so far, those included in which it waited for others. */
  readonly spentMs: () => number;
}

/** The same group, with a clock. */
export function timed(collectives: Collectives): TimedCollectives {
  let spent = 0;
  const clocked =
    <T extends unknown[]>(operation: (...values: T) => Promise<void>) =>
    async (...values: T): Promise<void> => {
      const start = performance.now();
      try {
        await operation(...values);
      } finally {
        spent += performance.now() - start;
      }
    };
  return {
    ...collectives,
    allGather: clocked(collectives.allGather),
    allReduceSum: clocked(collectives.allReduceSum),
    broadcast: clocked(collectives.broadcast),
    barrier: clocked(collectives.barrier),
    spentMs: () => spent,
  };
}
