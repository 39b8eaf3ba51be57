import sharp, { type Sharp } from 'sharp';
import type { RgbImage } from './types.js';

/** A rectangle in whole pixels. */
export interface Rectangle {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

/** Steps of a resampling, in this order; what is left out is not done. */
export interface Resampling {
  /** Part of the source that is resized. */
  readonly from?: Rectangle;
  /** Size to which it is stretched. */
  readonly size: { readonly width: number; readonly height: number };
  /** Part of the result that is kept. */
  readonly keep?: Rectangle;
  /** Mirror left to right at the end. */
  readonly flip?: boolean;
}

/** Pixels of border that the bicubic interpolation of an enlargement may read: two, and one for rounding. */
const border = 3;

function open({ width, height, data }: RgbImage): Sharp {
  return sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false });
}

async function pixels(pipeline: Sharp): Promise<RgbImage> {
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  return {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

function cut(image: RgbImage, { left, top, width, height }: Rectangle): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * 3;
    data.set(image.data.subarray(start, start + width * 3), row * width * 3);
  }
  return { width, height, data };
}

function mirrored({ width, height, data }: RgbImage): RgbImage {
  const result = new Uint8Array(data.length);
  for (let row = 0; row < height; row++) {
    for (let col = 0; col < width; col++) {
      const from = (row * width + col) * 3;
      const to = (row * width + (width - 1 - col)) * 3;
      result[to] = data[from]!;
      result[to + 1] = data[from + 1]!;
      result[to + 2] = data[from + 2]!;
    }
  }
  return { width, height, data: result };
}

/**
 * Enlarges by libvips' affine transform with centre sampling: output pixel i shows (i + 1/2) / scale of the input.
 * sharp's own resize moves what it enlarges right and down by half an output pixel (libvips/libvips issue 4841).
 * @param extended the picture with `border` pixels repeated on every side
 * @returns at least the enlarged picture, starting at its first pixel
 */
function enlarge(extended: RgbImage, scaleX: number, scaleY: number): Promise<RgbImage> {
  const shift = { idx: 0.5 - border, idy: 0.5 - border, odx: -0.5, ody: -0.5 };
  const matrix: [[number, number], [number, number]] = [
    [scaleX, 0],
    [0, scaleY],
  ];
  return pixels(open(extended).affine(matrix, { interpolator: 'bicubic', ...shift }));
}

/**
 * Resizes with a cubic kernel, Catmull-Rom (a = -0.5), widened when shrinking: what torchvision's antialiased bicubic
 * computes too, and aligned as there (pixel edges to pixel edges). Not equal to the bit: libvips shrinks by large
 * factors in two passes, rounds its coefficients, and repeats the border where torchvision leaves it out. Pixels outside
 * `from` never bleed in. The work is done on libvips' threads.
 */
export async function resample(image: RgbImage, steps: Resampling): Promise<RgbImage> {
  const { size, keep } = steps;
  const from = steps.from ?? { left: 0, top: 0, width: image.width, height: image.height };
  const width = Math.min(from.width, size.width);
  const height = Math.min(from.height, size.height);
  const shrunk = open(image).extract(from).resize(width, height, { fit: 'fill', kernel: 'cubic' });
  let result: RgbImage;
  if (width === size.width && height === size.height) {
    result = await pixels(keep === undefined ? shrunk : shrunk.extract(keep));
  } else {
    const sides = { top: border, bottom: border, left: border, right: border };
    const extended = await pixels(shrunk.extend({ ...sides, extendWith: 'copy' }));
    const enlarged = await enlarge(extended, size.width / width, size.height / height);
    result = cut(enlarged, keep ?? { left: 0, top: 0, width: size.width, height: size.height });
  }
  return steps.flip === true ? mirrored(result) : result;
}
