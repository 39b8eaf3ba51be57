import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';

/** Time limit in milliseconds, far above any expected wait, also on a busy machine. */
const LIMIT_MS = 60_000;

/**
 * Waits until a condition holds. It is checked in every turn of the event loop, or at a given interval in milliseconds.
 * @throws Error after a minute, so that a regression fails instead of hanging
 */
export async function until(holds: () => boolean | Promise<boolean>, everyMs = 0): Promise<void> {
  const end = performance.now() + LIMIT_MS;
  while (!(await holds())) {
    if (performance.now() > end) throw new Error(`did not come true in ${LIMIT_MS / 1000} s: ${holds}`);
    await (everyMs > 0 ? delay(everyMs) : nextTurn());
  }
}
