import pLimit from 'p-limit';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { createWeightedSemaphore, type Permit } from './weightedSemaphore.js';

export interface ConcurrencyGateOptions {
  /** How many pieces of work run at a time. */
  readonly concurrency: number;
  /** How many may wait. */
  readonly queueLimit: {
    /** Its key in the configuration. */
    readonly name: string;
    readonly value: number;
  };
  /** What waits, for errors: `matches wait to be computed`. */
  readonly waiting: string;
}

/** Runs a bounded number of pieces of work at a time; a bounded number wait, first come, first served. */
export interface ConcurrencyGate {
  /**
   * Runs the work when it is its turn, and tells the call how long it waited (phase `wait`). A call that is aborted while it
   * waits leaves at once; its work never runs.
   *
   * When as many wait as may, a unary call is rejected, and a stream item (`waitsForCapacity`) blocks until it may join those
   * who wait, of whom stream items are half at most.
   * @throws ServeError `overloaded` when as many wait as may, or the signal's reason when it is aborted before the work runs;
   *   else whatever the work throws.
   */
  run<T>(call: Pick<Call, 'signal' | 'waitsForCapacity' | 'observe'>, work: () => Promise<T>): Promise<T>;
}

export function createConcurrencyGate({ concurrency, queueLimit, waiting }: ConcurrencyGateOptions): ConcurrencyGate {
  const { name, value } = queueLimit;
  const slots = pLimit(concurrency);
  // Those who wait and have not given up: p-limit's own count has the others too, until their turn comes.
  const queue = createWeightedSemaphore(value);

  function overloaded(): ServeError {
    const message = `the queue is full: ${queue.held} ${waiting} (${name}: ${value}); try again later`;
    return new ServeError('overloaded', message, { limit: { name, value } });
  }

  return {
    async run(call, work) {
      const { signal, waitsForCapacity = false } = call;
      signal.throwIfAborted();
      const start = performance.now();
      const observeWait = (): void => call.observe('wait', (performance.now() - start) / 1000);
      let place: Permit | undefined;
      try {
        place = waitsForCapacity ? await queue.acquire(1, signal) : queue.tryAcquire(1);
      } catch (error) {
        observeWait();
        throw error;
      }
      if (place === undefined) throw overloaded();
      const { release } = place;
      // Emptied when the call gives up: p-limit keeps its function until its turn, and the work would keep the call's images.
      let pending: typeof work | undefined = work;
      return new Promise((resolve, reject) => {
        const settle = (): void => {
          pending = undefined;
          release();
          signal.removeEventListener('abort', onAbort);
          observeWait();
        };
        const onAbort = (): void => {
          settle();
          reject(signal.reason);
        };
        signal.addEventListener('abort', onAbort, { once: true });
        if (signal.aborted) onAbort();
        void slots(async () => {
          const mine = pending;
          if (mine === undefined) return;
          // Within a promise, so that what is thrown at once also rejects the call and not the slot.
          await (async () => {
            settle();
            return mine();
          })().then(resolve, reject);
        });
      });
    },
  };
}
