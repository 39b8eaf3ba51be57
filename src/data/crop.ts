/** Random resized crops and the places of their cells in the original image (paper section 3; torchvision). */

import type { Crop, Rectangle, Size } from '../image/types.js';
import type { RandomStream } from '../tensor/random.js';

export interface RandomCropOptions {
  /** Least and greatest share of the image's area. */
  readonly scale: readonly [number, number];
  /** Least and greatest width / height. */
  readonly aspect: readonly [number, number];
}

const TRIES = 10;

/**
 * Draws a crop as torchvision's RandomResizedCrop does: area uniform in `scale`, aspect log-uniform in `aspect`, ten
 * tries to fit it into the image, else the largest central crop whose aspect is allowed.
 * @param size of the original
 */
export function randomResizedCrop(random: RandomStream, size: Size, options: RandomCropOptions): Rectangle {
  const [least, greatest] = options.aspect;
  for (let attempt = 0; attempt < TRIES; attempt++) {
    const area = size.width * size.height * random.uniform(...options.scale);
    const aspect = Math.exp(random.uniform(Math.log(least), Math.log(greatest)));
    const width = Math.round(Math.sqrt(area * aspect));
    const height = Math.round(Math.sqrt(area / aspect));
    if (width > 0 && width <= size.width && height > 0 && height <= size.height) {
      const top = random.integer(size.height - height + 1);
      const left = random.integer(size.width - width + 1);
      return { top, left, height, width };
    }
  }
  const own = size.width / size.height;
  // At least one pixel: an image one pixel wide and very long would round to none.
  const width = own > greatest ? Math.max(1, Math.round(size.height * greatest)) : size.width;
  const height = own < least ? Math.max(1, Math.round(size.width / least)) : size.height;
  return { top: (size.height - height) >> 1, left: (size.width - width) >> 1, height, width };
}

/**
 * Centres of a view's cells in the original image.
 *
 * row = top + (k + 1/2) * height / rows, column = left + (l + 1/2) * width / columns. The columns of a flipped view run
 * backwards. The authors' default leaves them as they are (`no_flip_grid=1`), which pairs cells that show different
 * places; `mirrorFlipped: false` reproduces that.
 * @returns [rows * columns, 2], row-major cells, each (row, column) in pixels from the image's edge
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
