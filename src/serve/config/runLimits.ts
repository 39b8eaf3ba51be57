import type { Engine } from '../../engine/engine.js';

/** The configured size of a run. */
export interface ConfiguredRun {
  /** Maximum images in one run. Absent: the default of the engine's provider. */
  readonly batchImages?: number | undefined;
  /** Maximum pixels in one run; a single larger image runs alone. Absent: `batchImages` of 224 x 224. */
  readonly batchPixels?: number | undefined;
}

/** How large a run of the engine may be. */
export interface RunLimits {
  /** Maximum images in one run. */
  readonly batchImages: number;
  /** Maximum pixels in one run; a single larger image runs alone. */
  readonly batchPixels: number;
}

/**
 * Default images of a run. On the CPU larger batches are no faster (docs/benchmarks.md, Service), and images behind one wait longer;
 * a GPU needs larger batches.
 */
const usualImages = { cpu: 4, cuda: 16 } as const;
/** Pixels of an image of the usual size. */
const USUAL_PIXELS = 224 * 224;

/** The limits for an engine: the configured ones, or the defaults of its provider. */
export function runLimits(
  { batchImages: configuredImages, batchPixels }: ConfiguredRun,
  { provider }: Pick<Engine, 'provider'>,
): RunLimits {
  const batchImages = configuredImages ?? usualImages[provider];
  return { batchImages, batchPixels: batchPixels ?? batchImages * USUAL_PIXELS };
}

/**
 * The batch sizes for which an engine is warmed up: powers of two up to the largest. On CUDA, where each new size costs a search for
 * kernels, batches have only these sizes.
 */
export function batchSizes(batchImages: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < batchImages; size *= 2) sizes.push(size);
  return [...sizes, batchImages];
}

/** The `batchSizes` that batches of images with `pixelsEach` pixels can have. */
export function batchSizesFor({ batchImages, batchPixels }: RunLimits, pixelsEach: number): number[] {
  const maxBatch = Math.min(batchImages, Math.max(1, Math.floor(batchPixels / pixelsEach)));
  const sizes = batchSizes(batchImages);
  return sizes.slice(0, sizes.findIndex((size) => size >= maxBatch) + 1);
}
