import type { Logger } from 'pino';

/** Length of the windows in which lines are counted, in ms. */
const WINDOW_MS = 1000;

/** Lines of one kind of failure that a window has. */
const LINES = 10;

/** What failures have in common that are counted together. */
export interface FailureKind {
  readonly method: string;
  /** Name of the gRPC status. */
  readonly code: string;
  /** Of the status' ErrorInfo. */
  readonly reason: string;
}

/**
 * Logs calls that were refused. A service that has too much to do, or is being probed, refuses hundreds of calls a second, and
 * a line for each would cost it a fifth of the refusal and its operator the log: of every kind so many are logged in a second,
 * and the others are counted in one line at its end. Where the logger takes debug lines, every failure has its own.
 */
export interface FailureLog {
  /** @param line what is known of this call; asked for where it is logged */
  failed(kind: FailureKind, line: () => object, message: string): void;
  /** Writes what was only counted so far. */
  flush(): void;
}

export function createFailureLog(logger: Pick<Logger, 'info' | 'isLevelEnabled'>): FailureLog {
  /** Of the window that runs, by kind: methods and reasons are few, and no caller makes up one. */
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
