/** Random resized crops (torchvision), and the centres of their cells in the original image (VICRegL, section 3). */

import type { Crop, Rectangle, Size } from '../image/types.js';
import type { RandomStream } from '../tensor/random.js';

export interface RandomCropOptions {
  /** Minimum and maximum area, as a fraction of the image's area. */
  readonly scale: readonly [number, number];
  /** Minimum and maximum aspect ratio, width / height. */
  readonly aspect: readonly [number, number];
}

const MAX_TRIES = 10;

/**
 * Draws a crop like torchvision's RandomResizedCrop: the area is uniform in `scale`, the aspect ratio log-uniform in `aspect`. If
 * none of ten drawn crops fits into the image, the result is the largest central crop with an allowed aspect ratio. A crop that is
 * smaller than a pixel becomes one of a pixel; torchvision takes the largest one in its place.
 * @param size of the original, in pixels
 * @returns the crop in pixels of the original
 */
export function randomResizedCrop(random: RandomStream, size: Size, options: RandomCropOptions): Rectangle {
  const [minAspect, maxAspect] = options.aspect;
  for (let attempt = 0; attempt < MAX_TRIES; attempt++) {
    const area = size.width * size.height * random.uniform(...options.scale);
    const aspect = Math.exp(random.uniform(Math.log(minAspect), Math.log(maxAspect)));
    const width = Math.max(1, Math.round(Math.sqrt(area * aspect)));
    const height = Math.max(1, Math.round(Math.sqrt(area / aspect)));
    if (width <= size.width && height <= size.height) {
      const top = random.integer(size.height - height + 1);
      const left = random.integer(size.width - width + 1);
      return { top, left, height, width };
    }
  }
  const imageAspect = size.width / size.height;
  // At least one pixel: for an image one pixel wide and very long, rounding would give 0.
  const width = imageAspect > maxAspect ? Math.max(1, Math.round(size.height * maxAspect)) : size.width;
  const height = imageAspect < minAspect ? Math.max(1, Math.round(size.width / minAspect)) : size.height;
  return { top: (size.height - height) >> 1, left: (size.width - width) >> 1, height, width };
}

/**
 * Computes the centres of a view's cells in the original image.
 *
 * row = top + (k + 1/2) * height / rows, column = left + (l + 1/2) * width / columns. A flipped view has its columns in reverse
 * order. The authors' default does not reverse them (`no_flip_grid=1`), so that cells are paired that show different places;
 * `mirrorFlipped: false` reproduces this.
 * @returns [rows * columns, 2], row-major cells, each (row, column) in pixels from the top left corner of the image
 */
export function locationGrid(
  crop: Crop,
  rows: number,
  columns: number,
  options: { readonly mirrorFlipped: boolean } = { mirrorFlipped: true },
): Float32Array {
  const mirror = crop.flip && options.mirrorFlipped;
  const grid = new Float32Array(rows * columns * 2);
  for (let k = 0; k < rows; k++) {
    for (let l = 0; l < columns; l++) {
      const at = (k * columns + l) * 2;
      grid[at] = crop.top + ((k + 0.5) * crop.height) / rows;
      grid[at + 1] = crop.left + (((mirror ? columns - 1 - l : l) + 0.5) * crop.width) / columns;
    }
  }
  return grid;
}
