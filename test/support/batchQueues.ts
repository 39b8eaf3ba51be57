import type { TestContext } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import type { EngineOutputs, ImageBatch, OutputName } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import type { RgbImage } from '../../src/image/types.js';
import { ServeError } from '../../src/serve/call/serveError.js';
import { createBatchQueue, type QueueLimits } from '../../src/serve/inference/batchQueue.js';
import { tinyManifest } from './tinyModel.js';

/** What the tests of the batch queue share: small images, calls, and an engine whose runs end when the test says. */

export const limits: QueueLimits = { queueImages: 8, queueBytes: 1 << 20, batchImages: 4, batchPixels: 1 << 20 };
export const embedding: ReadonlySet<OutputName> = new Set(['representation']);
export const manifest = { ...tinyManifest, files: {} };

export function image(value: number, width = 8, height = 8): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3).fill(value) };
}

export const bytesOf = ({ data }: RgbImage): number => data.byteLength;

export function call(signal: AbortSignal = new AbortController().signal) {
  return { signal, observe: () => {} };
}

/** The fake engine, whose runs wait until they are released one by one. */
export function gatedEngine(workers = 1) {
  const engine = createFakeEngine({ manifest, workers });
  const gates: (() => Promise<unknown>)[] = [];
  const batches: ImageBatch[] = [];
  let listener = (): void => {};
  let busy = 0;
  return {
    batches,
    provider: engine.provider,
    get status() {
      return engine.status;
    },
    get idle() {
      return Math.max(0, workers - busy);
    },
    watch(given: () => void) {
      listener = given;
      return () => {};
    },
    run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs> {
      batches.push(batch);
      busy++;
      return new Promise((resolve, reject) => {
        gates.push(async () => {
          await engine.run(batch, wants).then(resolve, reject);
          busy--;
          listener();
        });
      });
    },
    /** Lets the oldest run finish and the queue take its next batch. */
    async letOneGo() {
      await gates.shift()!();
      await turn();
    },
    sizes: () => batches.map(({ shape }) => shape[0]),
  };
}

export function isServeError(code: string, text: RegExp) {
  return (error: unknown) => error instanceof ServeError && error.code === code && text.test(error.message);
}

/** A queue of single images whose runs take as long as the test says, on a clock of its own. */
export function timedQueue(
  t: TestContext,
  { workers = 1, ...bounds }: { workers?: number } & Partial<QueueLimits> = {},
) {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  t.mock.method(Date, 'now', () => now);
  const engine = gatedEngine(workers);
  const queue = createBatchQueue(engine, { ...limits, batchImages: 1, ...bounds });
  const within = (ms: number) => ({ ...call(), deadline: now + ms });
  const letOneGoAfter = async (ms: number): Promise<void> => {
    now += ms;
    await engine.letOneGo();
  };
  /** Runs an image on the idle engine. */
  const runFor = async (ms: number, given: RgbImage): Promise<void> => {
    const answer = queue.run(given, embedding, call());
    await turn();
    await letOneGoAfter(ms);
    await answer;
  };
  return { engine, queue, within, letOneGoAfter, runFor };
}
