import { DataError } from './dataError.js';
import type { SampleSettings } from './sample.js';
import type { ImageSource } from './sources.js';
import type { ViewSpec } from './view.js';

export interface LoaderOptions {
  readonly source: ImageSource;
  /** Indices of the images of the source that are used, each once. Default: all. */
  readonly items?: Uint32Array;
  readonly views: readonly ViewSpec[];
  /** Images of a batch. */
  readonly batchSize: number;
  /**
   * Whether an epoch ends with a smaller batch, so that it has every image, instead of leaving out those that do not fill
   * one. The batch may then be larger than the source. Default false.
   */
  readonly keepLast?: boolean;
  /** Decides order, crops and augmentations. */
  readonly seed: number;
  /** Threads that decode and crop; never changes the result. Default 1. */
  readonly workers?: number;
  /** Most steps that are made ahead of the one asked for. Default 3. */
  readonly prefetch?: number;
  /**
   * Bytes that the steps made ahead may take: as many as fit are made, but one at least (unless `prefetch` is 0), as
   * nothing would be made beside the step otherwise. The batch in use comes on top. Default 512 MiB.
   */
  readonly prefetchBytes?: number;
  /** Whether the grid of a flipped view is mirrored; the authors' default is not to, ours is. */
  readonly mirrorFlippedGrid?: boolean;
  /** Bytes of decoded pixels kept between epochs, over all workers. Default 256 MiB. */
  readonly cacheBytes?: number;
}

const DEFAULT_CACHE_BYTES = 256 * 1024 ** 2;
const DEFAULT_PREFETCH_BYTES = 512 * 1024 ** 2;
const MOST_WORKERS = 64;

/** Options with their defaults. */
export interface ResolvedLoaderOptions {
  readonly source: ImageSource;
  /** Images of an epoch. */
  readonly count: number;
  readonly batchSize: number;
  readonly keepLast: boolean;
  readonly workers: number;
  /** Steps that are made ahead. */
  readonly prefetch: number;
  readonly cacheBytes: number;
  readonly samples: SampleSettings;
}

/** @throws DataError `bad_option` naming the option, its value and the way out. */
export function resolveLoaderOptions(options: LoaderOptions): ResolvedLoaderOptions {
  const { source, items, batchSize, keepLast = false, seed, views, workers = 1, prefetch = 3 } = options;
  const { cacheBytes = DEFAULT_CACHE_BYTES, prefetchBytes = DEFAULT_PREFETCH_BYTES } = options;
  const whole = (name: string, value: number, least: number, greatest = Number.MAX_SAFE_INTEGER): void => {
    if (Number.isSafeInteger(value) && value >= least && value <= greatest) return;
    const range = greatest === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${greatest}`;
    throw new DataError('bad_option', `${name} is ${value}; it must be a whole number ${range}`);
  };
  whole('batchSize', batchSize, 1);
  whole('workers', workers, 1, MOST_WORKERS);
  whole('prefetch', prefetch, 0);
  whole('cacheBytes', cacheBytes, 0);
  whole('prefetchBytes', prefetchBytes, 0);
  whole('seed', seed, Number.MIN_SAFE_INTEGER);
  whole('number of views', views.length, 1);
  const count = items?.length ?? source.count;
  whole('number of items', count, 1);
  if (items?.some((index) => index >= source.count)) {
    throw new DataError('bad_option', `items has an index beyond the ${source.count} images of the source`);
  }
  if (batchSize > count && !keepLast) {
    throw new DataError(
      'bad_option',
      `batchSize is ${batchSize}, but the source has only ${count} images; use a smaller batch or more images`,
    );
  }
  views.forEach((view, v) => {
    whole(`views[${v}].size`, view.size, 1, 4096);
    whole(`views[${v}].cells`, view.cells, 1, view.size);
    checkRange(`views[${v}].scale`, view.scale, 1);
    checkRange(`views[${v}].aspect`, view.aspect, Number.POSITIVE_INFINITY);
    const own = `views[${v}].augmentation`;
    const { augmentation } = view;
    checkProbability(`${own}.flipProbability`, augmentation.flipProbability);
    checkProbability(`${own}.jitterProbability`, augmentation.jitterProbability);
    checkProbability(`${own}.greyscaleProbability`, augmentation.greyscaleProbability);
    checkProbability(`${own}.blurProbability`, augmentation.blurProbability);
    checkRange(`${own}.blurSigma`, augmentation.blurSigma, Number.POSITIVE_INFINITY);
    checkProbability(`${own}.solarizeProbability`, augmentation.solarizeProbability);
  });
  const { mirrorFlippedGrid = true } = options;
  return {
    source,
    count,
    batchSize,
    keepLast,
    workers,
    prefetch: Math.min(prefetch, Math.max(1, Math.floor(prefetchBytes / batchBytes(views, batchSize)))),
    cacheBytes,
    samples: { seed, views, mirrorFlippedGrid, ...(items && { items }) },
  };
}

/** Bytes of a batch: the pixels and location grids of its views. */
export function batchBytes(views: readonly Pick<ViewSpec, 'size' | 'cells'>[], batchSize: number): number {
  return batchSize * views.reduce((sum, { size, cells }) => sum + size * size * 3 + cells * cells * 2 * 4, 0);
}

function checkRange(name: string, [least, greatest]: readonly [number, number], limit: number): void {
  if (least > 0 && least <= greatest && greatest <= limit && Number.isFinite(greatest)) return;
  const upper = Number.isFinite(limit) ? ` and at most ${limit}` : '';
  throw new DataError(
    'bad_option',
    `${name} is ${least}..${greatest}; both ends must be over 0${upper}, the smaller one first`,
  );
}

function checkProbability(name: string, value: number): void {
  if (value >= 0 && value <= 1) return;
  throw new DataError('bad_option', `${name} is ${value}; a probability lies from 0 to 1`);
}
