import pLimit from 'p-limit';
import type { Call } from '../call/call.js';
import { ServeError } from '../call/serveError.js';
import { createWeightedSemaphore, type Permit } from './weightedSemaphore.js';

export interface ConcurrencyGateOptions {
  /** Maximum number of tasks that run at a time. */
  readonly concurrency: number;
  /** Maximum number of tasks that wait. */
  readonly queueLimit: {
    /** Its key in the configuration. */
    readonly name: string;
    readonly value: number;
  };
  /** What waits, for errors: `matches wait to be computed`. */
  readonly waiting: string;
}

/** Runs a bounded number of tasks at a time; a bounded number of tasks wait, in first-in, first-out order. */
export interface ConcurrencyGate {
  /**
   * Runs the work when a slot is free, and reports the waiting time to the call (phase `wait`). A call that is aborted while it
   * waits releases its place immediately; its work never runs.
   *
   * When the queue is full, unary calls are rejected and stream items (`waitsForCapacity`) block until they can enter it; stream
   * items together take at most half of the queue.
   * @throws ServeError `overloaded` if the queue is full, the signal's reason if it is aborted before the work runs, or the error
   *   of the work.
   */
  run<T>(call: Pick<Call, 'signal' | 'waitsForCapacity' | 'observe'>, work: () => Promise<T>): Promise<T>;
}

export function createConcurrencyGate({ concurrency, queueLimit, waiting }: ConcurrencyGateOptions): ConcurrencyGate {
  const { name, value } = queueLimit;
  const slots = pLimit(concurrency);
  // Waiting calls that are not aborted. The count of p-limit also contains aborted ones, until it reaches them.
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
      // Cleared when the call is aborted: p-limit keeps its function until it runs, and the work would retain the call's images.
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
          // Within a promise, so that a synchronous throw also rejects the call and not the slot.
          await (async () => {
            settle();
            return mine();
          })().then(resolve, reject);
        });
      });
    },
  };
}
