import sharp from 'sharp';
import type { FeatureMap } from '../client/features.js';
import { VicreglError } from '../client/vicreglError.js';

/** Maximum side of the picture in pixels. */
const LONGEST = 2048;

/**
 * Draws the first three components of a map as red, green and blue, each scaled from its minimum (0) to its maximum (255). The
 * picture has the size of the original, but at most 2,048 pixels per side.
 * @returns a PNG file
 * @throws VicreglError `INVALID_ARGUMENT` for vectors that are not a map or have fewer components.
 */
export async function pcaPicture({ shape, data, grid }: FeatureMap): Promise<Buffer> {
  const [rows = 0, columns = 0, components = 0] = shape;
  if (shape.length !== 3 || components < 3) {
    throw new VicreglError(
      'INVALID_ARGUMENT',
      `--picture: a tensor of shape [${shape.join(', ')}] is not a map with 3 components; use --pca 3`,
    );
  }
  const pixels = new Uint8Array(rows * columns * 3);
  for (let component = 0; component < 3; component++) {
    let [min, max] = [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY];
    for (let i = component; i < data.length; i += components) {
      min = Math.min(min, data[i]!);
      max = Math.max(max, data[i]!);
    }
    const scale = max > min ? 255 / (max - min) : 0;
    for (let cell = 0; cell < rows * columns; cell++) {
      pixels[cell * 3 + component] = Math.round((data[cell * components + component]! - min) * scale);
    }
  }
  const [width, height] = [Math.abs(grid.cellToPixel.scaleX) * columns, grid.cellToPixel.scaleY * rows];
  const shrink = Math.min(1, LONGEST / Math.max(width, height));
  const side = (length: number, cells: number): number => Math.max(cells, Math.round(length * shrink));
  return sharp(pixels, { raw: { width: columns, height: rows, channels: 3 } })
    .resize(side(width, columns), side(height, rows), { kernel: 'nearest', fit: 'fill' })
    .png()
    .toBuffer();
}
