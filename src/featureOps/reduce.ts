import { Worker } from 'node:worker_threads';
import type { Tensor } from '../tensor/tensor.js';
import { FeatureOpError } from './featureOpError.js';
import type { Basis } from './pca.js';

/** Vectors reduced to fewer dimensions. */
export interface Reduced {
  /** [..., k]. */
  readonly vectors: Tensor<'float32'>;
  /** The basis that was computed; absent if it was given. */
  readonly basis?: Basis;
  /** Variance along each component, [k]. */
  readonly variances: readonly number[];
  /** Sum of the variances of all C dimensions. */
  readonly totalVariance: number;
}

/** How to reduce: to computed components, or by a given basis. */
export type Reduction = { readonly components: number } | { readonly basis: Basis };

/**
 * Checks that a basis fits vectors.
 * @param length of the vectors of the basis
 * @param channels length of the vectors that are reduced
 * @throws FeatureOpError `bad_components`
 */
export function checkBasisLength(length: number, channels: number): void {
  if (length === channels) return;
  throw new FeatureOpError(
    'bad_components',
    `the basis is for vectors of length ${length}, and these have ${channels}; use one of the same model and space`,
  );
}

/**
 * Checks that a reduction fits the vectors.
 * @param vectors their number
 * @param channels their length
 * @throws FeatureOpError `bad_components` naming what would fit.
 */
export function checkReduction(how: Reduction, vectors: number, channels: number): void {
  if ('basis' in how) {
    checkBasisLength(how.basis.mean.shape[0]!, channels);
    return;
  }
  const max = Math.min(channels, vectors - 1);
  if (how.components <= max) return;
  throw new FeatureOpError(
    'bad_components',
    `${vectors} vectors of length ${channels} have at most ${Math.max(0, max)} principal components, not ` +
      `${how.components}; ask for fewer, or give a basis`,
  );
}

/**
 * Reduces the dimensions of vectors [..., C] in a thread of its own.
 * @throws the signal's reason when it is aborted; the thread ends then.
 */
export async function reduceDimensions(
  vectors: Tensor<'float32'>,
  how: Reduction,
  signal: AbortSignal,
): Promise<Reduced> {
  signal.throwIfAborted();
  // Transfers a copy of these vectors: cloning a view would copy the whole batch that it belongs to.
  const data = vectors.data.slice();
  const worker = new Worker(new URL('./reduceWorker.js', import.meta.url), {
    workerData: { vectors: { ...vectors, data }, how },
    transferList: [data.buffer],
    // Flags of the parent such as --input-type do not suit a script.
    execArgv: [],
  });
  let onAbort = (): void => {};
  try {
    return await new Promise<Reduced>((resolve, reject) => {
      onAbort = () => reject(signal.reason);
      worker.once('message', resolve);
      worker.once('error', reject);
      worker.once('exit', (code) => reject(new Error(`the thread that reduces dimensions ended with code ${code}`)));
      signal.addEventListener('abort', onAbort, { once: true });
    });
  } finally {
    // The signal may be that of a stream, which outlives its items: a remaining listener would keep this result in memory.
    signal.removeEventListener('abort', onAbort);
    await worker.terminate();
  }
}
