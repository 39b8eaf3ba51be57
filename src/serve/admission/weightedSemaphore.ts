/** What is held of a room. */
export interface Held {
  /** Milliseconds that were waited for it. */
  readonly waitedMs: number;
  /** Gives it back; once is enough. */
  release(): void;
}

/**
 * A bounded amount of something: places of a queue, or bytes. Who cannot wait takes of it what is free; who can wait does, and
 * holds half of the room at most, so that neither keeps the other out.
 */
export interface Room {
  /** How much is held. */
  readonly held: number;
  /** Those who wait. */
  readonly awaited: number;
  /** Whether so much is free. What is larger than the room fits when nothing else is held. */
  fits(amount: number): boolean;
  /** Takes so much; to be called only where it fits. */
  take(amount: number): Held;
  /**
   * Waits for so much, first come, first served, before those who take.
   * @throws the signal's reason when it is aborted, or the error of `turnAway`
   */
  wait(amount: number, signal: AbortSignal): Promise<Held>;
  /** Ends every wait with an error. */
  turnAway(error: Error): void;
}

interface Waiter {
  readonly amount: number;
  letIn(): void;
  turnAway(error: Error): void;
}

/**
 * @param size how much there is; with less than 2 there is no half to leave to others
 * @param mayLetIn told how much those hold who waited; whether the next may come in, beside the size. It is asked again whenever
 *   something is given back
 */
export function createRoom(size: number, mayLetIn: (waitedFor: number) => boolean = () => true): Room {
  const half = Math.max(1, Math.floor(size / 2));
  const waiters = new Set<Waiter>();
  let held = 0;
  /** How much of it is held by those who waited. */
  let waitedFor = 0;

  const fits = (amount: number): boolean => held + Math.min(amount, size) <= size;

  function hold(amount: number, waited: number, waitedMs = 0): Held {
    let holding = true;
    held += amount;
    waitedFor += waited;
    return {
      waitedMs,
      release() {
        if (!holding) return;
        holding = false;
        held -= amount;
        waitedFor -= waited;
        letIn();
      },
    };
  }

  function letIn(): void {
    for (const waiter of waiters) {
      if (!fits(waiter.amount) || waitedFor + waiter.amount > half || !mayLetIn(waitedFor)) return;
      waiter.letIn();
    }
  }

  return {
    get held() {
      return held;
    },
    get awaited() {
      return waiters.size;
    },
    fits,
    take: (amount) => hold(Math.min(amount, size), 0),
    wait(whole, signal) {
      const amount = Math.min(whole, half);
      return new Promise((resolve, reject) => {
        if (signal.aborted) {
          reject(signal.reason);
          return;
        }
        const start = performance.now();
        const leave = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener('abort', giveUp);
        };
        const waiter: Waiter = {
          amount,
          letIn() {
            leave();
            resolve(hold(amount, amount, performance.now() - start));
          },
          turnAway(error) {
            leave();
            reject(error);
          },
        };
        const giveUp = (): void => {
          waiter.turnAway(signal.reason);
          letIn();
        };
        signal.addEventListener('abort', giveUp, { once: true });
        waiters.add(waiter);
        letIn();
      });
    },
    turnAway(error) {
      for (const waiter of waiters) waiter.turnAway(error);
    },
  };
}
