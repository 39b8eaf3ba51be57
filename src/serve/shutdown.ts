import type { Logger } from 'pino';
import type { RunningServer } from './server.js';

/** Exit code of a forced end, as shells give it to a process ended by SIGINT. */
const FORCED = 130;

/**
 * Ends the server on SIGINT and SIGTERM: running calls finish, then the process ends by itself with 0. A second signal
 * ends it at once.
 * @returns a promise that resolves when the server is closed
 */
export function closeOnSignals(server: RunningServer, logger: Logger): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0;
    const onSignal = (signal: NodeJS.Signals): void => {
      signals++;
      if (signals > 1) {
        logger.warn({ signal }, 'second signal: ending at once');
        process.exit(FORCED);
      }
      logger.info({ signal }, 'shutting down: running calls finish first');
      server
        .close()
        .then(() => {
          process.off('SIGINT', onSignal);
          process.off('SIGTERM', onSignal);
          logger.info('closed');
        })
        .then(resolve, reject);
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}
