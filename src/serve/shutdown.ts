import { setTimeout as delay } from 'node:timers/promises';
import type { Logger } from 'pino';
import type { Service } from './api/service.js';

/** Exit code of a forced end; shells use it for processes that were ended by SIGINT. */
const FORCED = 130;

/** Milliseconds for which clients may keep streams (health watches, reflection) open after the last response. */
const LINGER_MS = 250;

/** Durations of a shutdown. */
export interface ShutdownTimes {
  /** Milliseconds for which calls are still accepted after NOT_SERVING, so that load balancers can redirect them. */
  readonly delayMs: number;
  /** Maximum milliseconds to wait for running calls after that. Then they are ended. */
  readonly graceMs: number;
}

/** A listener with calls in progress. */
export interface Drainable {
  /** Number of calls whose response has not been sent. */
  readonly callsInFlight: number;
  /** Resolves when no call is in flight. */
  idle(): Promise<void>;
  /** Accepts no new calls. Resolves when every connection is closed. */
  drain(): Promise<void>;
  /** Closes every connection, with its calls. */
  forceShutdown(): void;
}

/** Several listeners as one. */
function joined(transports: readonly Drainable[]): Drainable {
  const all = async (act: (transport: Drainable) => Promise<void>): Promise<void> => {
    await Promise.all(transports.map(act));
  };
  return {
    get callsInFlight() {
      return transports.reduce((sum, { callsInFlight }) => sum + callsInFlight, 0);
    },
    idle: () => all((transport) => transport.idle()),
    drain: () => all((transport) => transport.drain()),
    forceShutdown() {
      for (const transport of transports) transport.forceShutdown();
    },
  };
}

export interface Drained {
  readonly transports: readonly Drainable[];
  readonly service: Pick<Service, 'close' | 'terminate'>;
  /** Sets NOT_SERVING. Called first. */
  readonly notServing: () => void;
  /** Closes the observers of the service. Called last. */
  readonly closeRest: () => Promise<void>;
}

/**
 * The shutdown of a server: NOT_SERVING, then a delay, then the drain: no new calls, running calls finish within the grace
 * period. Then models and observers are closed.
 * @returns starts the shutdown; further calls return the same promise. `force` ends running calls immediately.
 */
export function createShutdown(
  { transports, service, notServing, closeRest }: Drained,
  { delayMs, graceMs }: ShutdownTimes,
): (force: boolean) => Promise<void> {
  const listeners = joined(transports);
  let forced = false;
  let release = (): void => {};
  const force = new Promise<void>((resolve) => {
    release = resolve;
  });

  async function stop(): Promise<void> {
    notServing();
    await Promise.race([delay(delayMs), force]);
    const closed = listeners.drain();
    const timers = new AbortController();
    const pause = (ms: number) => delay(ms, undefined, { signal: timers.signal }).catch(() => {});
    const grace = pause(graceMs).then(() => 'over');
    // A call whose message was still arriving may begin during the wait: repeat until there is none.
    do {
      await Promise.race([listeners.idle(), grace, force]);
      // Endless streams, such as health watches, would block the shutdown forever: they have LINGER_MS.
      // The grace period comes first: `closed` may have settled long before, and the loop would never see the end of the period.
    } while (
      (await Promise.race([grace, closed, pause(LINGER_MS)])) !== 'over' &&
      listeners.callsInFlight > 0 &&
      !forced
    );
    listeners.forceShutdown();
    const freed = service.close();
    // A run that hangs, or that nobody waits for, must not block the process beyond the grace period.
    await Promise.race([freed, grace, force]);
    service.terminate();
    await freed;
    timers.abort();
    await closeRest();
  }

  let stopping: Promise<void> | undefined;
  return (forceNow) => {
    stopping ??= stop();
    if (forceNow) {
      forced = true;
      release();
      listeners.forceShutdown();
    }
    return stopping;
  };
}

/**
 * Serves until SIGINT or SIGTERM, then closes the server; running calls finish first. A second signal ends the process immediately.
 * @returns a promise that resolves when the server is closed
 */
export function serveUntilSignal(
  server: { readonly close: () => Promise<void> },
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
        logger.warn({ signal }, 'second signal: exiting immediately');
        process.exit(FORCED);
      }
      logger.info({ signal }, 'shutting down: running calls finish first');
      finish();
    };
    process.on('SIGINT', onSignal);
    process.on('SIGTERM', onSignal);
  });
}
