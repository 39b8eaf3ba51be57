import type { Logger } from 'pino';
import type { RunningServer } from './server.js';

/** Exit code of a forced end, as shells give it to a process ended by SIGINT. */
const FORCED = 130;

/** Why a server ended: it was told to, or its engine died. */
type End = 'signal' | 'engine died';

/**
 * Keeps the server up until SIGINT or SIGTERM, or until its engine dies, then closes it: running calls finish first. A
 * second signal ends the process at once.
 * @returns a promise that resolves when the server is closed
 */
export function serveToTheEnd(
  server: Pick<RunningServer, 'close' | 'failed'>,
  logger: Pick<Logger, 'info' | 'warn'>,
): Promise<End> {
  return new Promise((resolve, reject) => {
    let signals = 0;
    const finish = (end: End): void => {
      server
        .close()
        .then(() => {
          process.off('SIGINT', onSignal);
          process.off('SIGTERM', onSignal);
          logger.info('closed');
          resolve(end);
        })
        .catch(reject);
    };
    const onSignal = (signal: NodeJS.Signals): void => {
      signals++;
      if (signals > 1) {
        logger.warn({ signal }, 'second signal: ending at once');
        process.exit(FORCED);
      }
      logger.info({ signal }, 'shutting down: running calls finish first');
      finish('signal');
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
    server.failed.then(() => finish('engine died'), reject);
  });
}
