/** Room for one image on its way to the engine: from before it is decoded until its run begins. */
export interface Place {
  /** Milliseconds that were waited for it. */
  readonly waitedMs: number;
  /** Gives it back; once is enough. */
  release(): void;
}

/** The places of a queue: one for each image that is being decoded or waits for the engine. */
export interface Places {
  /** Places that are taken. */
  readonly taken: number;
  /** Those who wait for one. */
  readonly awaited: number;
  /** Whether none is free. */
  readonly full: boolean;
  /** Takes one; to be asked for only where one is free. */
  take(): Place;
  /**
   * Waits for one, first come, first served. Who waits comes before those who take, but holds a part of the places at most.
   * @throws the signal's reason when it is aborted, or the error of `turnAway`.
   */
  wait(signal: AbortSignal): Promise<Place>;
  /** Ends every wait with an error. */
  turnAway(error: Error): void;
}

/**
 * @param most places that there are
 * @param mostWaitedFor how many of them may be held by those who waited: the others are left to those who cannot wait
 */
export function createPlaces(most: number, mostWaitedFor: () => number): Places {
  const waiters = new Set<{ readonly letIn: () => void; readonly turnAway: (error: Error) => void }>();
  let taken = 0;
  let waitedFor = 0;

  function place(waitedMs?: number): Place {
    const waited = Number(waitedMs !== undefined);
    let held = true;
    taken++;
    waitedFor += waited;
    return {
      waitedMs: waitedMs ?? 0,
      release() {
        if (!held) return;
        held = false;
        taken--;
        waitedFor -= waited;
        letIn();
      },
    };
  }

  function letIn(): void {
    for (const waiter of waiters) {
      if (taken >= most || waitedFor >= mostWaitedFor()) return;
      waiter.letIn();
    }
  }

  return {
    get taken() {
      return taken;
    },
    get awaited() {
      return waiters.size;
    },
    get full() {
      return taken >= most;
    },
    take: () => place(),
    wait(signal) {
      return new Promise((resolve, reject) => {
        if (signal.aborted) return reject(signal.reason);
        const start = performance.now();
        const leave = (): void => {
          waiters.delete(waiter);
          signal.removeEventListener('abort', giveUp);
        };
        const waiter = {
          letIn() {
            leave();
            resolve(place(performance.now() - start));
          },
          turnAway(error: Error) {
            leave();
            reject(error);
          },
        };
        const giveUp = (): void => waiter.turnAway(signal.reason);
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
