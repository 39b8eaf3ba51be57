import type { Logger } from 'pino';
import type { RunningServer } from './server.js';

/** Exit code of a forced end, as shells give it to a process ended by SIGINT. */
const FORCED = 130;

/**
 * Keeps the server up until SIGINT or SIGTERM, then closes it: running calls finish first. A second signal ends the process
 * at once.
 * @returns a promise that resolves when the server is closed
 */
export function serveToTheEnd(
  server: Pick<RunningServer, 'close'>,
  logger: Pick<Logger, 'info' | 'warn'>,
): Promise<void> {
  return new Promise((resolve, reject) => {
    let signals = 0;
    const finish = (): void => {
      server
        .close()
        .then(() => {
          process.off('SIGINT', onSignal);
          process.off('SIGTERM', onSignal);
          logger.info('closed');
          resolve();
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
      finish();
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}
