import { ImageError } from './imageError.js';
import { checkInputPixels, checkInputSize, checkMultiple, type OutputLimits } from './resize.js';
import type { Size } from './types.js';

/** Overlapping windows of a resized image, in its pixels; all are multiples of the model's stride. */
export interface Tiling {
  /** Size of a window. */
  readonly window: Size;
  /** Pixels that adjacent windows share at least, on both axes; less than the window's sides. */
  readonly overlap: number;
}

/** The windows of one image: each at the first pixel of an entry of `lefts` and of one of `tops`. */
export interface TileLayout {
  /** Size of every window: the tiling's, or the image's where that is smaller. */
  readonly tile: Size;
  readonly lefts: readonly number[];
  readonly tops: readonly number[];
}

/**
 * Reads a tiling.
 * @param side of the square network input that is the default window
 * @param stride of the model
 * @throws ImageError `bad_dimensions` naming the side and the nearest multiples.
 */
export function readTiling(
  given: { readonly width: number; readonly height: number; readonly overlap?: number },
  side: number,
  stride: number,
): Tiling {
  const width = given.width || side;
  const window = { width, height: given.height || width };
  checkMultiple('width', window.width, stride);
  checkMultiple('height', window.height, stride);
  const shorter = Math.min(window.width, window.height);
  const { overlap = Math.floor(shorter / 2 / stride) * stride } = given;
  if (overlap !== 0) checkMultiple('overlap', overlap, stride, shorter - stride);
  if (overlap < shorter) return { window, overlap };
  throw new ImageError(
    'bad_dimensions',
    `overlap is ${overlap}, not less than the shorter side ${shorter} of the window; use at most ${shorter - stride}`,
  );
}

/** First pixels of windows along one axis: every (window - overlap), and the last one ends where the axis ends. */
function startsAlong(length: number, window: number, overlap: number): number[] {
  if (length <= window) return [0];
  const step = window - overlap;
  const count = Math.ceil((length - window) / step) + 1;
  return Array.from({ length: count }, (_, i) => Math.min(i * step, length - window));
}

/** Number of windows along one axis. */
const countAlong = (length: number, window: number, overlap: number): number =>
  length <= window ? 1 : Math.ceil((length - window) / (window - overlap)) + 1;

/** Number of windows of an image. */
export const tileCount = ({ width, height }: Size, { window, overlap }: Tiling): number =>
  countAlong(width, window.width, overlap) * countAlong(height, window.height, overlap);

/**
 * The windows of a resized image. Its sides, and thus all positions, are multiples of the stride.
 * @throws ImageError `too_large` if a window has more pixels than a network input may have, `bad_dimensions` if its size is
 *   not allowed.
 */
export function layOutTiles(image: Size, { window, overlap }: Tiling, limits: OutputLimits): TileLayout {
  const tile = { width: Math.min(window.width, image.width), height: Math.min(window.height, image.height) };
  checkInputPixels(tile.width, tile.height, limits);
  checkInputSize(tile, limits);
  return {
    tile,
    lefts: startsAlong(image.width, tile.width, overlap),
    tops: startsAlong(image.height, tile.height, overlap),
  };
}
