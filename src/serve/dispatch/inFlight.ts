/** Counts the calls in progress. */
export interface InFlight {
  readonly count: number;
  begin(): void;
  end(): void;
  /** Resolves when there is no call in progress, immediately if there is none now. */
  idle(): Promise<void>;
}

export function createInFlight(): InFlight {
  let count = 0;
  let waiters: (() => void)[] = [];
  return {
    get count() {
      return count;
    },
    begin() {
      count++;
    },
    end() {
      count--;
      if (count > 0) return;
      for (const wake of waiters) wake();
      waiters = [];
    },
    idle: () => (count === 0 ? Promise.resolve() : new Promise((resolve) => waiters.push(resolve))),
  };
}
