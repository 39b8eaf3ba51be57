import type { Logger } from 'pino';

/** Length of the windows in which failures are counted, in ms. */
const WINDOW_MS = 1000;

/** Maximum lines per window for one kind of failure. */
const LINES = 10;

/** Failures with the same values are counted together. */
export interface FailureKind {
  readonly method: string;
  /** Name of the gRPC status. */
  readonly code: string;
  /** Reason of the status' ErrorInfo. */
  readonly reason: string;
}

/**
 * Logs failed calls. Under overload, or when it is probed, a service rejects hundreds of calls per second. A line for each would
 * take a fifth of the time of a rejection, and flood the log. Therefore `LINES` failures of each kind are logged per second, and one
 * line at the end of the second counts the others. At the level debug every failure is logged.
 */
export interface FailureLog {
  /** @param line fields of this call; only called if the failure is logged */
  failed(kind: FailureKind, line: () => object, message: string): void;
  /** Writes the pending counts. */
  flush(): void;
}

export function createFailureLog(logger: Pick<Logger, 'info' | 'isLevelEnabled'>): FailureLog {
  /** Counts of the current window by kind. Their number is bounded: callers cannot create methods or reasons. */
  const counts = new Map<string, { readonly kind: FailureKind; calls: number }>();
  let window: NodeJS.Timeout | undefined;

  function flush(): void {
    clearTimeout(window);
    window = undefined;
    for (const { kind, calls } of counts.values()) {
      const more = calls - LINES;
      if (more > 0) logger.info({ ...kind, calls: more }, `${more} more calls failed like this within a second`);
    }
    counts.clear();
  }

  return {
    failed(kind, line, message) {
      if (!logger.isLevelEnabled('debug')) {
        window ??= setTimeout(flush, WINDOW_MS).unref();
        const key = `${kind.method} ${kind.code} ${kind.reason}`;
        const count = counts.get(key) ?? { kind, calls: 0 };
        counts.set(key, count);
        if (++count.calls > LINES) return;
      }
      logger.info({ ...line(), ...kind }, message);
    },
    flush,
  };
}
