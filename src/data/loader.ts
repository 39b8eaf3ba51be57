import { Worker } from 'node:worker_threads';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { DataError } from './dataError.js';
import { epochs } from './epochs.js';
import type { WorkerReply, WorkerRequest, WorkerSettings } from './loaderMessages.js';
import { type LoaderOptions, resolveLoaderOptions } from './loaderOptions.js';
import type { SkippedImage } from './sample.js';

/** The images of one step. */
export interface Batch {
  readonly step: number;
  readonly epoch: number;
  /** Per view [B, size, size, 3]; B is smaller in the last batch of an epoch with `keepLast`. */
  readonly views: readonly Tensor<'uint8'>[];
  /** Per view [B, cells * cells, 2]: (row, column) of the cell centres, in pixels of the original images. */
  readonly locations: readonly Tensor<'float32'>[];
  /** [B]; only if the source has labels. */
  readonly labels?: Tensor<'int64'>;
  /** Indices of the images that were used. */
  readonly indices: readonly number[];
  /** Broken images that were replaced in this batch, without duplicates. */
  readonly skipped: readonly SkippedImage[];
}

/** Makes batches in worker threads. */
export interface Loader {
  readonly stepsPerEpoch: number;
  /**
   * Returns the batch of a step, a pure function of the options (except workers, prefetch and cacheBytes) and the step. Also
   * queues the next `prefetch` steps; the workers make them even while this thread is blocked.
   * @throws DataError `bad_option` for an invalid step, `undecodable` if more than half of the source's images cannot be decoded,
   *   `worker_failed` if a thread ended or the loader is closed.
   */
  batch(step: number): Promise<Batch>;
  /** Ends the threads; pending batches are rejected. */
  close(): Promise<void>;
}

interface PendingBatch {
  readonly promise: Promise<Batch>;
  readonly fulfil: (batch: Batch) => void;
  readonly fail: (error: Error) => void;
  /** Allocated when the first samples arrive, so that a queued batch takes no memory. */
  pixels: Pick<Batch, 'views' | 'locations'> | undefined;
  readonly size: number;
  readonly indices: number[];
  readonly skipped: Map<number, SkippedImage>;
  missing: number;
  /** Whether a caller waits for the batch; such a batch is never dropped. */
  awaited: boolean;
}

/**
 * Starts a loader.
 * @throws DataError `bad_option`.
 */
export function createLoader(options: LoaderOptions): Loader {
  const {
    source,
    count: images,
    workers: count,
    prefetch,
    cacheBytes,
    samples,
    part,
    ...batches
  } = resolveLoaderOptions(options);
  const order = epochs(images, batches.batchSize, samples.seed, batches);
  const pending = new Map<number, PendingBatch>();
  const broken = new Set<number>();
  let failure: DataError | undefined;
  let closed = false;

  const failAll = (error: DataError): void => {
    failure ??= error;
    for (const batch of pending.values()) batch.fail(failure);
  };

  const finish = (step: number, batch: PendingBatch): void => {
    const { indices } = batch;
    const { views, locations } = batch.pixels!;
    const skipped = [...batch.skipped.values()].sort((a, b) => a.index - b.index);
    const labels = labelsOf(indices);
    batch.fulfil({ step, epoch: order.epochOf(step), views, locations, indices, skipped, ...(labels && { labels }) });
  };

  const emptyPixels = (rows: number) => ({
    views: samples.views.map(({ size }) => zeros('uint8', [rows, size, size, 3])),
    locations: samples.views.map(({ cells }) => zeros('float32', [rows, cells * cells, 2])),
  });

  /** The tensors of a batch that one worker made alone, without a copy. */
  const fromSingleReply = (reply: WorkerReply & { kind: 'samples' }) => ({
    views: samples.views.map(({ size }, v) => tensor('uint8', [reply.places.length, size, size, 3], reply.views[v]!)),
    locations: samples.views.map(({ cells }, v) =>
      tensor('float32', [reply.places.length, cells * cells, 2], reply.locations[v]!),
    ),
  });

  const labelsOf = (indices: readonly number[]): Tensor<'int64'> | undefined => {
    const known = source.labelled?.labels;
    if (known === undefined) return undefined;
    const labels = BigInt64Array.from(indices, (index) => BigInt(known[index]!));
    return tensor('int64', [indices.length], labels);
  };

  const receive = (reply: WorkerReply): void => {
    if (reply.kind === 'failure') {
      failAll(new DataError(reply.code, reply.message));
      return;
    }
    for (const { index } of reply.skipped) broken.add(index);
    if (broken.size > images / 2) {
      const { name, reason } = reply.skipped[0] ?? { name: 'one image', reason: 'broken' };
      failAll(
        new DataError(
          'undecodable',
          `more than half of the images of the source cannot be decoded (${broken.size} of ${images} so far, for example ${name}: ${reason}); check the source`,
        ),
      );
      return;
    }
    const batch = pending.get(reply.step);
    if (batch === undefined) return; // No longer wanted.
    const isWhole = reply.places.length === batch.size;
    const made = batch.pixels ?? (isWhole ? fromSingleReply(reply) : emptyPixels(batch.size));
    batch.pixels = made;
    reply.places.forEach((place, i) => {
      batch.indices[place] = reply.indices[i]!;
      if (isWhole) return;
      copyRows(reply.views, made.views, i, place);
      copyRows(reply.locations, made.locations, i, place);
    });
    for (const image of reply.skipped) batch.skipped.set(image.index, image);
    batch.missing -= reply.places.length;
    if (batch.missing === 0) finish(reply.step, batch);
  };

  const settings: WorkerSettings = { samples, index: source.index, cacheBytes: Math.floor(cacheBytes / count) };
  const workers = Array.from({ length: count }, () => {
    const worker = new Worker(new URL('./loaderWorker.js', import.meta.url), { workerData: settings });
    worker.on('message', receive);
    worker.on('error', (cause) => {
      failAll(new DataError('worker_failed', `a loader thread failed: ${String(cause)}`, { cause }));
    });
    worker.on('exit', (code) => {
      if (!closed) failAll(new DataError('worker_failed', `a loader thread ended unexpectedly with exit code ${code}`));
    });
    return worker;
  });

  const schedule = (step: number): PendingBatch => {
    const { promise, resolve, reject } = deferred<Batch>();
    // A prefetched batch may fail before anyone awaits it.
    promise.catch(() => undefined);
    const all = order.slotsOf(step);
    const own = all.length / part.of;
    const slots = all
      .slice(part.index * own, (part.index + 1) * own)
      .map(({ position, index }) => ({ position, index: samples.items?.[index] ?? index }));
    const batch: PendingBatch = {
      promise,
      fulfil: resolve,
      fail: reject,
      pixels: undefined,
      size: slots.length,
      indices: new Array<number>(slots.length),
      skipped: new Map(),
      missing: slots.length,
      awaited: false,
    };
    pending.set(step, batch);
    workers.forEach((worker, w) => {
      // An image always goes to the same worker, whose cache may contain it.
      const places = slots.flatMap(({ index }, place) => (index % count === w ? [place] : []));
      if (places.length === 0) return;
      const request: WorkerRequest = {
        kind: 'samples',
        step,
        epoch: order.epochOf(step),
        places,
        slots: places.map((place) => slots[place]!),
      };
      worker.postMessage(request);
    });
    return batch;
  };

  const batch = async (step: number): Promise<Batch> => {
    if (!Number.isSafeInteger(step) || step < 0) {
      throw new DataError('bad_option', `step is ${step}; it must be a whole number of at least 0`);
    }
    if (closed) throw new DataError('worker_failed', 'the loader is closed; create a new one');
    if (failure !== undefined) throw failure;
    for (const [queued, { awaited }] of pending) {
      if (!awaited && (queued < step || queued > step + prefetch)) pending.delete(queued);
    }
    const wanted = pending.get(step) ?? schedule(step);
    wanted.awaited = true;
    for (let next = step + 1; next <= step + prefetch; next++) if (!pending.has(next)) schedule(next);
    const made = await wanted.promise;
    pending.delete(step);
    return made;
  };

  const close = async (): Promise<void> => {
    if (closed) return;
    closed = true;
    failAll(new DataError('worker_failed', 'the loader was closed'));
    await Promise.all(
      workers.map(
        (worker) =>
          new Promise<void>((resolve) => {
            if (worker.threadId === -1) resolve(); // It has ended already.
            worker.once('exit', () => resolve());
            worker.postMessage({ kind: 'close' } satisfies WorkerRequest);
          }),
      ),
    );
  };

  return { stepsPerEpoch: order.stepsPerEpoch, batch, close };
}

/** Copies row `from` of each source to row `to` of the corresponding target; a row is the data of one image. */
function copyRows(
  sources: readonly (Uint8Array | Float32Array)[],
  targets: readonly (Tensor<'uint8'> | Tensor<'float32'>)[],
  from: number,
  to: number,
): void {
  targets.forEach(({ data, shape }, v) => {
    const row = data.length / shape[0]!;
    data.set(sources[v]!.subarray(from * row, (from + 1) * row), to * row);
  });
}

function deferred<T>(): { promise: Promise<T>; resolve: (value: T) => void; reject: (error: Error) => void } {
  let resolve: (value: T) => void = () => undefined;
  let reject: (error: Error) => void = () => undefined;
  const promise = new Promise<T>((fulfil, fail) => {
    resolve = fulfil;
    reject = fail;
  });
  return { promise, resolve, reject };
}
