import sharp from 'sharp';
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

function mirrored(image: RgbImage): RgbImage {
  const { width, height, data } = image;
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
 * Resizes with sharp's `cubic` kernel: Catmull-Rom (a = -0.5), widened when shrinking, which is what torchvision's
 * antialiased bicubic computes too. Not equal to the bit: libvips shrinks by large factors in two passes and rounds
 * its coefficients. Pixels outside `from` never bleed in. The work is done on libvips' threads.
 */
export async function resample(image: RgbImage, steps: Resampling): Promise<RgbImage> {
  const { from, size, keep } = steps;
  // The raw input of sharp must be exactly the image: a view into a larger buffer is fine, a longer one is not.
  let pipeline = sharp(image.data, {
    raw: { width: image.width, height: image.height, channels: 3 },
    limitInputPixels: false,
  });
  if (from !== undefined) pipeline = pipeline.extract(from);
  pipeline = pipeline.resize(size.width, size.height, { fit: 'fill', kernel: 'cubic' });
  if (keep !== undefined) pipeline = pipeline.extract(keep);
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  const result = {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
  return steps.flip === true ? mirrored(result) : result;
}
