/** Units of a semaphore that a caller holds. */
export interface Permit {
  /** Milliseconds that `acquire` waited; 0 from `tryAcquire`. */
  readonly waitedMs: number;
  /** Units that the permit holds. */
  readonly weight: number;
  /** Releases the units above a weight. Does nothing if the permit holds no more than that. */
  shrink(weight: number): void;
  /** Releases all units. A second call does nothing. */
  release(): void;
}

/**
 * A semaphore whose holders take several units: places of a queue, or bytes.
 *
 * When a bounded resource is exhausted, unary calls are rejected (`tryAcquire`) and stream items block (`acquire`). Neither can starve
 * the other:
 * - Stream items together hold at most half of the units (H of C), so that streams, which always have a next item, leave the rest to
 *   calls that do not wait.
 * - While the first waiter waits for the capacity alone, and not for the half of the waiters, `tryAcquire` grants nothing. Otherwise
 *   unary calls, some of which always hold more than C - H, could keep a heavy waiter out forever, although each of them ends. As it
 *   is, what they hold only falls until the waiter fits.
 * - Unary calls have C - H all the same. With w the weight of that waiter, W what waiters hold and U what the others hold, it waits for
 *   the capacity if U + W + w > C, and W + w <= H: so U > C - H. A call with which the others hold at most C - H is never rejected.
 *
 * With a capacity of 1, H is 1 too, and waiters come first.
 *
 * Why not a library: Semaphore of async-mutex has weights and serves in order, but a single waiter cannot be aborted, and a
 * group of holders cannot be limited to a share. p-limit and p-queue have no weights.
 */
export interface WeightedSemaphore {
  /** Units that are held. */
  readonly held: number;
  /** Number of callers that wait in `acquire`. */
  readonly waiting: number;
  /** Whether `tryAcquire` would succeed. */
  canAcquire(weight: number): boolean;
  /**
   * Acquires units without waiting. A weight above the capacity counts as the capacity: it is granted when nothing else is held.
   * @returns undefined if they are not free, or are kept for the first waiter. A weight of 0 is always granted.
   */
  tryAcquire(weight: number): Permit | undefined;
  /**
   * Waits for units, in first-in, first-out order; released units go to waiters before any later `tryAcquire`. All permits of
   * `acquire` together hold at most half of the capacity; a weight above that half counts as the half.
   * @throws the signal's reason when it is aborted, or the error of `rejectWaiting`
   */
  acquire(weight: number, signal: AbortSignal): Promise<Permit>;
  /** Rejects every `acquire` that waits. */
  rejectWaiting(error: Error): void;
}

interface Waiter {
  readonly weight: number;
  grant(): void;
  reject(error: Error): void;
}

/** @param capacity total number of units; if it is 1, `acquire` may hold it */
export function createWeightedSemaphore(capacity: number): WeightedSemaphore {
  const half = Math.max(1, Math.floor(capacity / 2));
  const waiters = new Set<Waiter>();
  let held = 0;
  /** The part of `held` that permits of `acquire` hold. */
  let heldByWaiters = 0;

  const fits = (weight: number): boolean => held + Math.min(weight, capacity) <= capacity;

  /** Whether the first waiter would be granted if there were free units: whether it is not kept out by other waiters' half. */
  function waitsForCapacity(): boolean {
    for (const { weight } of waiters) return heldByWaiters + weight <= half;
    return false;
  }

  // A waiter for the capacity that would still fit together with this weight would not wait.
  const canAcquire = (weight: number): boolean => weight <= 0 || (fits(weight) && !waitsForCapacity());

  /** @param waited whether it is a permit of `acquire`, which counts towards their half */
  function permit(initial: number, waited: boolean, waitedMs: number): Permit {
    let weight = initial;
    held += weight;
    if (waited) heldByWaiters += weight;
    function shrink(to: number): void {
      const released = weight - Math.max(0, to);
      if (released <= 0) return;
      weight -= released;
      held -= released;
      if (waited) heldByWaiters -= released;
      grantWaiting();
    }
    return {
      waitedMs,
      get weight() {
        return weight;
      },
      shrink,
      release: () => shrink(0),
    };
  }

  /** Grants in order: a light waiter does not overtake a heavy one, which might otherwise wait forever. */
  function grantWaiting(): void {
    for (const waiter of waiters) {
      if (!fits(waiter.weight) || heldByWaiters + waiter.weight > half) return;
      waiter.grant();
    }
  }

  return {
    get held() {
      return held;
    },
    get waiting() {
      return waiters.size;
    },
    canAcquire,
    tryAcquire: (weight) => (canAcquire(weight) ? permit(Math.min(weight, capacity), false, 0) : undefined),
    acquire(wanted, signal) {
      const weight = Math.min(wanted, half);
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const start = performance.now();
        const settle = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener('abort', onAbort);
        };
        const waiter: Waiter = {
          weight,
          grant() {
            settle();
            resolve(permit(weight, true, performance.now() - start));
          },
          reject(error) {
            settle();
            reject(error);
          },
        };
        const onAbort = (): void => {
          waiter.reject(signal.reason);
          grantWaiting();
        };
        signal.addEventListener('abort', onAbort, { once: true });
        waiters.add(waiter);
        grantWaiting();
      });
    },
    rejectWaiting(error) {
      for (const waiter of waiters) waiter.reject(error);
    },
  };
}
