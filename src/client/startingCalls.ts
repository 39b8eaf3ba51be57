/** What grpc-js reports of a call: `metadata` when its response begins, `status` when it has ended. */
interface Started {
  once(event: 'metadata' | 'status', listener: () => void): unknown;
}

/**
 * The calls of a client whose response has not begun. A channel that closes ends those that wait for a connection, and lets the others
 * go on.
 */
export class StartingCalls {
  #count = 0;
  #waiting: (() => void)[] = [];

  add(call: Started): void {
    this.#count++;
    let starting = true;
    const begun = (): void => {
      if (!starting) return;
      starting = false;
      this.#count--;
      if (this.#count > 0) return;
      for (const resolve of this.#waiting) resolve();
      this.#waiting = [];
    };
    call.once('metadata', begun);
    call.once('status', begun);
  }

  /** Resolves when all have begun or ended. */
  none(): Promise<void> {
    return this.#count === 0 ? Promise.resolve() : new Promise((resolve) => this.#waiting.push(resolve));
  }
}
