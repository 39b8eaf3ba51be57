import { Client, credentials } from '@grpc/grpc-js';
import { sendRaw } from '../../test/support/malformed/sendRaw.js';
import { soakRequests } from './requests.js';

/** Concurrent callers. Each sends the requests of the mix one by one until `stop` is called. */
export interface SoakLoad {
  /** Number of calls by gRPC status name. */
  readonly codes: Readonly<Record<string, number>>;
  /** Pauses the callers, waits for the calls in flight, then runs `work`. The callers continue when it has settled. */
  whilePaused<T>(work: () => Promise<T>): Promise<T>;
  /** Stops the callers. Resolves when no call is in flight. */
  stop(): Promise<void>;
}

/** @param concurrency number of callers */
export async function startSoakLoad(address: string, concurrency: number): Promise<SoakLoad> {
  const channel = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const request = await soakRequests();
  const codes: Record<string, number> = {};
  let next = 0;
  let stopped = false;
  /** While the load is paused, a promise that the callers await before their next call. */
  let pause: Promise<unknown> | undefined;
  const inFlight = new Set<Promise<unknown>>();

  async function send(): Promise<void> {
    const { cancelAfterMs, ...message } = request(next++);
    const { code } = await sendRaw(channel, message, cancelAfterMs);
    codes[code] = (codes[code] ?? 0) + 1;
  }

  async function runCaller(): Promise<void> {
    while (!stopped) {
      await pause;
      const sent = send().finally(() => inFlight.delete(sent));
      inFlight.add(sent);
      await sent;
    }
  }
  const callers = Promise.all(Array.from({ length: concurrency }, runCaller));

  return {
    codes,
    async whilePaused(work) {
      let resume = (): void => {};
      pause = new Promise<void>((resolve) => {
        resume = resolve;
      });
      try {
        await Promise.all(inFlight);
        return await work();
      } finally {
        pause = undefined;
        resume();
      }
    },
    async stop() {
      stopped = true;
      await callers;
      channel.close();
    },
  };
}
