import type { Engine, EngineOutputs, OutputName } from '../../engine/engine.js';
import type { RgbImage } from '../../image/types.js';
import type { Call } from '../call.js';
import { ServeError } from '../serveError.js';
import { joinImages, splitOutputs } from './batch.js';

export interface QueueLimits {
  /** Images that may wait. */
  readonly queueImages: number;
  /** Bytes of images that may wait. */
  readonly queueBytes: number;
  /** Most images in one run. */
  readonly batchImages: number;
  /** Most pixels in one run; one larger image runs alone. */
  readonly batchPixels: number;
}

/** Puts images of one size that want the same outputs into one run of the engine. */
export interface BatchQueue {
  /**
   * Computes the wanted outputs of one image; each keeps a leading dimension of 1.
   * @throws ServeError `overloaded` when the queue is full, `shutting_down` after `close`, or the call's own reason
   *   when it is aborted; EngineError when the run fails.
   */
  run(image: RgbImage, wants: ReadonlySet<OutputName>, call: Call): Promise<EngineOutputs>;
  /** Images that wait, without those that run. */
  readonly depth: number;
  /** Takes no more, and resolves when what was taken has run. */
  close(): Promise<void>;
}

interface Item {
  readonly key: string;
  readonly image: RgbImage;
  readonly wants: ReadonlySet<OutputName>;
  readonly call: Call;
  readonly enqueued: number;
  resolve(outputs: EngineOutputs): void;
  reject(error: unknown): void;
}

/**
 * A bounded, first-come queue in front of an engine. The next batch is taken as soon as the engine is free, at the end of
 * the running turn: no request waits for company, but the two images of one Match meet, and company gathers by itself
 * while the engine is busy. A batch is the oldest image and those
 * behind it of the same size and wants. A call that is aborted leaves the queue at once.
 * @param onBatch told the number of images of every run
 */
export function createBatchQueue(
  engine: Pick<Engine, 'run'>,
  limits: QueueLimits,
  onBatch: (images: number) => void = () => {},
): BatchQueue {
  let waiting: Item[] = [];
  let waitingBytes = 0;
  let draining: Promise<void> | undefined;
  let closed = false;

  function admit(image: RgbImage): void {
    if (closed) throw new ServeError('shutting_down', 'the server is shutting down; ask another one');
    if (waiting.length >= limits.queueImages || waitingBytes + image.data.byteLength > limits.queueBytes) {
      throw new ServeError(
        'overloaded',
        `the queue is full (${waiting.length} images, ${waitingBytes} bytes wait; at most ${limits.queueImages} images, ` +
          `${limits.queueBytes} bytes may); try again later`,
      );
    }
  }

  function remove(items: ReadonlySet<Item>): void {
    waiting = waiting.filter((item) => !items.has(item));
    for (const { image } of items) waitingBytes -= image.data.byteLength;
  }

  function takeBatch(): Item[] {
    const key = waiting[0]?.key;
    const batch: Item[] = [];
    let pixels = 0;
    for (const item of waiting) {
      if (item.key !== key) continue;
      pixels += item.image.width * item.image.height;
      if (batch.length > 0 && (batch.length >= limits.batchImages || pixels > limits.batchPixels)) break;
      batch.push(item);
    }
    remove(new Set(batch));
    return batch;
  }

  async function runBatch(batch: readonly Item[]): Promise<void> {
    try {
      const start = performance.now();
      for (const item of batch) item.call.observe('queue', (start - item.enqueued) / 1000);
      onBatch(batch.length);
      const images = batch.map(({ image }) => image);
      const outputs = splitOutputs(await engine.run(joinImages(images), batch[0]!.wants), batch.length);
      const seconds = (performance.now() - start) / 1000;
      for (const [i, item] of batch.entries()) {
        item.call.observe('inference', seconds);
        item.resolve(outputs[i]!);
      }
    } catch (error) {
      for (const item of batch) item.reject(error);
    }
  }

  async function drain(): Promise<void> {
    // What is offered in the same turn (both images of a Match) rides along.
    await undefined;
    while (waiting.length > 0) await runBatch(takeBatch());
    draining = undefined;
  }

  return {
    async run(image, wants, call) {
      call.signal.throwIfAborted();
      admit(image);
      return new Promise<EngineOutputs>((resolve, reject) => {
        const onAbort = () => {
          if (waiting.includes(item)) remove(new Set([item]));
          reject(call.signal.reason);
        };
        const settle = () => call.signal.removeEventListener('abort', onAbort);
        const item: Item = {
          key: `${image.width}x${image.height}:${[...wants].sort().join()}`,
          image,
          wants,
          call,
          enqueued: performance.now(),
          resolve: (outputs) => {
            settle();
            resolve(outputs);
          },
          reject: (error) => {
            settle();
            reject(error);
          },
        };
        call.signal.addEventListener('abort', onAbort, { once: true });
        waiting.push(item);
        waitingBytes += image.data.byteLength;
        draining ??= drain();
      });
    },
    get depth() {
      return waiting.length;
    },
    async close() {
      closed = true;
      await draining;
    },
  };
}
