import { type RandomCropOptions, randomResizedCrop } from '../../data/crop.js';
import type { Rectangle, Size } from '../../image/types.js';
import type { RandomStream } from '../../tensor/random.js';

/** Area that two crops share, over the area of the larger one: both crops show at least this share of each other. */
export function overlap(a: Rectangle, b: Rectangle): number {
  const height = Math.min(a.top + a.height, b.top + b.height) - Math.max(a.top, b.top);
  const width = Math.min(a.left + a.width, b.left + b.width) - Math.max(a.left, b.left);
  if (height <= 0 || width <= 0) return 0;
  return (height * width) / Math.max(a.height * a.width, b.height * b.width);
}

const MAX_TRIES = 1000;

/**
 * Draws two random resized crops of an image that overlap by at least `least` (see `overlap`). Pairs with less overlap are
 * drawn again.
 * @throws RangeError if 1,000 pairs overlap less.
 */
export function overlappingCrops(
  random: RandomStream,
  size: Size,
  options: RandomCropOptions,
  least: number,
): [Rectangle, Rectangle] {
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const first = randomResizedCrop(random, size, options);
    const second = randomResizedCrop(random, size, options);
    if (overlap(first, second) >= least) return [first, second];
  }
  throw new RangeError(
    `no two crops of scale ${options.scale.join('..')} overlap by ${least} in ${MAX_TRIES} tries; lower minOverlap or raise the scale`,
  );
}
