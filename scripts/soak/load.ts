import { Client, credentials } from '@grpc/grpc-js';
import { sendRaw } from '../../test/support/malformed/sendRaw.js';
import { soakRequests } from './requests.js';

/** Callers that ask one request of the mix after the other until they are stopped. */
export interface SoakLoad {
  /** How often each status was the answer. */
  readonly codes: Readonly<Record<string, number>>;
  /** Holds the callers back while something is done; it begins when every answer has come. */
  whilePaused<T>(work: () => Promise<T>): Promise<T>;
  /** Resolves when the last answer has come. */
  stop(): Promise<void>;
}

/** @param concurrency how many callers */
export async function startSoakLoad(address: string, concurrency: number): Promise<SoakLoad> {
  const channel = new Client(address, credentials.createInsecure(), { 'grpc.use_local_subchannel_pool': 1 });
  const request = await soakRequests();
  const codes: Record<string, number> = {};
  let next = 0;
  let stopped = false;
  /** Who has to wait waits for this. */
  let pause: Promise<unknown> | undefined;
  const asking = new Set<Promise<unknown>>();

  async function ask(): Promise<void> {
    const { giveUpMs, ...message } = request(next++);
    const { code } = await sendRaw(channel, message, giveUpMs);
    codes[code] = (codes[code] ?? 0) + 1;
  }

  async function call(): Promise<void> {
    while (!stopped) {
      await pause;
      const asked = ask().finally(() => asking.delete(asked));
      asking.add(asked);
      await asked;
    }
  }
  const calling = Promise.all(Array.from({ length: concurrency }, call));

  return {
    codes,
    async whilePaused(work) {
      let go = (): void => {};
      pause = new Promise<void>((resolve) => {
        go = resolve;
      });
      try {
        await Promise.all(asking);
        return await work();
      } finally {
        pause = undefined;
        go();
      }
    },
    async stop() {
      stopped = true;
      await calling;
      channel.close();
    },
  };
}
