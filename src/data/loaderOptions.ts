import { DataError } from './dataError.js';
import type { ImageDigests } from './imageContents.js';
import type { SampleSettings } from './sample.js';
import type { ImageSource } from './sources.js';
import type { ViewSpec } from './view.js';

export interface LoaderOptions {
  readonly source: ImageSource;
  /** Indices of the images of the source that are used, each once. Default: all. */
  readonly items?: Uint32Array;
  readonly views: readonly ViewSpec[];
  /** Images per batch. */
  readonly batchSize: number;
  /**
   * Whether an epoch ends with a smaller batch, so that it has every image, instead of dropping the images that do not fill
   * one. The batch may then be larger than the source. Default false.
   */
  readonly keepLast?: boolean;
  /** Part of every batch that this loader makes, of several loaders with the same options; divides batchSize. Default: all of it. */
  readonly part?: { readonly index: number; readonly of: number };
  /** Determines order, crops and augmentations. */
  readonly seed: number;
  /** Number of threads that decode and crop. Does not change the result. Default: 1. */
  readonly workers?: number;
  /** Maximum number of steps that are made in advance. Default: 3. */
  readonly prefetch?: number;
  /**
   * Maximum bytes of the steps that are made in advance. At least one step is prefetched (unless `prefetch` is 0), because
   * otherwise loading and training would not overlap. The batch in use is not counted. Default: 512 MiB.
   */
  readonly prefetchBytes?: number;
  /** Whether the grid of a flipped view is mirrored. Default: true; the authors' default is false. */
  readonly mirrorFlippedGrid?: boolean;
  /** Maximum bytes of decoded pixels that are kept between epochs, over all workers. Default: 256 MiB. */
  readonly cacheBytes?: number;
  /** What the images have to contain, as far as they were read before: a batch of others is DataError `changed`. Default: anything. */
  readonly digests?: ImageDigests;
}

const DEFAULT_CACHE_BYTES = 256 * 1024 ** 2;
const DEFAULT_PREFETCH_BYTES = 512 * 1024 ** 2;
/** Largest number of threads of a loader. */
export const MAX_WORKERS = 64;
/** Largest side of a view, in pixels. */
export const MAX_VIEW_SIZE = 4096;

/** Options with their defaults. */
export interface ResolvedLoaderOptions {
  readonly source: ImageSource;
  /** Images of an epoch. */
  readonly count: number;
  readonly batchSize: number;
  readonly keepLast: boolean;
  readonly part: { readonly index: number; readonly of: number };
  readonly workers: number;
  /** Number of steps that are made in advance. */
  readonly prefetch: number;
  readonly cacheBytes: number;
  readonly samples: SampleSettings;
}

/** @throws DataError `bad_option` naming the option, its value and its valid range. */
export function resolveLoaderOptions(options: LoaderOptions): ResolvedLoaderOptions {
  const { source, items, batchSize, keepLast = false, seed, views, workers = 1, prefetch = 3 } = options;
  const { part = { index: 0, of: 1 } } = options;
  const { cacheBytes = DEFAULT_CACHE_BYTES, prefetchBytes = DEFAULT_PREFETCH_BYTES } = options;
  const checkInteger = (name: string, value: number, min: number, max = Number.MAX_SAFE_INTEGER): void => {
    if (Number.isSafeInteger(value) && value >= min && value <= max) return;
    const range = max === Number.MAX_SAFE_INTEGER ? `of at least ${min}` : `from ${min} to ${max}`;
    throw new DataError('bad_option', `${name} is ${value}; it must be a whole number ${range}`);
  };
  checkInteger('batchSize', batchSize, 1);
  checkInteger('workers', workers, 1, MAX_WORKERS);
  checkInteger('prefetch', prefetch, 0);
  checkInteger('cacheBytes', cacheBytes, 0);
  checkInteger('prefetchBytes', prefetchBytes, 0);
  checkInteger('part.of', part.of, 1, batchSize);
  checkInteger('part.index', part.index, 0, part.of - 1);
  if (batchSize % part.of !== 0 || (keepLast && part.of > 1)) {
    throw new DataError('bad_option', `part.of is ${part.of}; it must divide batchSize ${batchSize}, without keepLast`);
  }
  checkInteger('seed', seed, Number.MIN_SAFE_INTEGER);
  checkInteger('number of views', views.length, 1);
  const count = items?.length ?? source.count;
  checkInteger('number of items', count, 1);
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
    checkInteger(`views[${v}].size`, view.size, 1, MAX_VIEW_SIZE);
    checkInteger(`views[${v}].cells`, view.cells, 1, view.size);
    checkRange(`views[${v}].scale`, view.scale, 1);
    checkRange(`views[${v}].aspect`, view.aspect, Number.POSITIVE_INFINITY);
    const prefix = `views[${v}].augmentation`;
    const { augmentation } = view;
    checkProbability(`${prefix}.flipProbability`, augmentation.flipProbability);
    checkProbability(`${prefix}.jitterProbability`, augmentation.jitterProbability);
    checkProbability(`${prefix}.greyscaleProbability`, augmentation.greyscaleProbability);
    checkProbability(`${prefix}.blurProbability`, augmentation.blurProbability);
    checkRange(`${prefix}.blurSigma`, augmentation.blurSigma, Number.POSITIVE_INFINITY);
    checkProbability(`${prefix}.solarizeProbability`, augmentation.solarizeProbability);
  });
  const { mirrorFlippedGrid = true, digests } = options;
  return {
    source,
    count,
    batchSize,
    keepLast,
    part,
    workers,
    prefetch: Math.min(prefetch, Math.max(1, Math.floor(prefetchBytes / batchBytes(views, batchSize / part.of)))),
    cacheBytes,
    samples: { seed, views, mirrorFlippedGrid, ...(items && { items }), ...(digests && { digests }) },
  };
}

/** Bytes of a batch, which consists of the pixels and location grids of its views. */
export function batchBytes(views: readonly Pick<ViewSpec, 'size' | 'cells'>[], batchSize: number): number {
  return batchSize * views.reduce((sum, { size, cells }) => sum + size * size * 3 + cells * cells * 2 * 4, 0);
}

function checkRange(name: string, [min, max]: readonly [number, number], limit: number): void {
  if (min > 0 && min <= max && max <= limit && Number.isFinite(max)) return;
  const upper = Number.isFinite(limit) ? ` and at most ${limit}` : '';
  throw new DataError(
    'bad_option',
    `${name} is ${min}..${max}; both ends must be greater than 0${upper}, with the smaller one first`,
  );
}

function checkProbability(name: string, value: number): void {
  if (value >= 0 && value <= 1) return;
  throw new DataError('bad_option', `${name} is ${value}; a probability must be from 0 to 1`);
}
