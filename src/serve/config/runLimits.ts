import type { Engine } from '../../engine/engine.js';

/** What is configured of the size of a run. */
export interface ConfiguredRun {
  /** Most images in one run. Absent: what is usual on the engine's provider. */
  readonly batchImages?: number | undefined;
  /** Most pixels in one run; one larger image runs alone. Absent: so many images of the usual size. */
  readonly batchPixels?: number | undefined;
}

/** How large a run of the engine may be. */
export interface RunLimits {
  /** Most images in one run. */
  readonly batchImages: number;
  /** Most pixels in one run; one larger image runs alone. */
  readonly batchPixels: number;
}

/**
 * Images of a run where nothing else is configured. On the CPU larger batches are no faster (docs/benchmarks.md, Service), and
 * images behind one wait longer; a GPU needs more at a time.
 */
const usualImages = { cpu: 4, cuda: 16 } as const;
/** Pixels of an image of the usual size. */
const USUAL_PIXELS = 224 * 224;

/** The limits for an engine: what is configured, else what is usual on its provider. */
export function runLimits(
  { batchImages: configuredImages, batchPixels }: ConfiguredRun,
  { provider }: Pick<Engine, 'provider'>,
): RunLimits {
  const batchImages = configuredImages ?? usualImages[provider];
  return { batchImages, batchPixels: batchPixels ?? batchImages * USUAL_PIXELS };
}

/**
 * Sizes of batches for which an engine is made ready. On CUDA, where each new one costs a search for kernels, batches have
 * these sizes alone: powers of two up to the largest.
 */
export function batchSizes(batchImages: number): number[] {
  const sizes: number[] = [];
  for (let size = 1; size < batchImages; size *= 2) sizes.push(size);
  return [...sizes, batchImages];
}

/** Those of `batchSizes` that batches of images of so many pixels come to. */
export function batchSizesFor({ batchImages, batchPixels }: RunLimits, pixelsEach: number): number[] {
  const most = Math.min(batchImages, Math.max(1, Math.floor(batchPixels / pixelsEach)));
  const sizes = batchSizes(batchImages);
  return sizes.slice(0, sizes.findIndex((size) => size >= most) + 1);
}
