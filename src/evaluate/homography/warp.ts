import type { Homography } from '../../image/homography.js';
import type { RgbImage, Size } from '../../image/types.js';

/** Samples per side of a pixel, so that shrinking by up to two does not alias. */
const SAMPLES = 2;
/** Colour of what the original does not show. */
const GREY = 128;

/**
 * A picture seen through a homography. Every pixel is the mean of 2 x 2 bilinear samples; what lies outside the original is grey.
 * @param toOriginal takes pixels of the result to those of the image, in edge coordinates
 * @param size of the result in pixels
 */
export function warp(image: RgbImage, toOriginal: Homography, { width, height }: Size): RgbImage {
  const h = Float64Array.from(toOriginal);
  const { data } = image;
  const result = new Uint8Array(width * height * 3);
  const share = 1 / SAMPLES ** 2;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      let [red, green, blue] = [0, 0, 0];
      for (let sample = 0; sample < SAMPLES ** 2; sample++) {
        const x = column + ((sample % SAMPLES) + 0.5) / SAMPLES;
        const y = row + (Math.floor(sample / SAMPLES) + 0.5) / SAMPLES;
        const w = h[6]! * x + h[7]! * y + h[8]!;
        const u = (h[0]! * x + h[1]! * y + h[2]!) / w;
        const v = (h[3]! * x + h[4]! * y + h[5]!) / w;
        if (!(u >= 0 && v >= 0 && u <= image.width && v <= image.height)) {
          red += GREY;
          green += GREY;
          blue += GREY;
          continue;
        }
        const [cu, cv] = [
          Math.min(image.width - 1, Math.max(0, u - 0.5)),
          Math.min(image.height - 1, Math.max(0, v - 0.5)),
        ];
        const [left, top] = [Math.floor(cu), Math.floor(cv)];
        const [dx, dy] = [cu - left, cv - top];
        const a = (top * image.width + left) * 3;
        const b = left + 1 < image.width ? a + 3 : a;
        const below = top + 1 < image.height ? image.width * 3 : 0;
        const [wa, wb, wc, wd] = [(1 - dx) * (1 - dy), dx * (1 - dy), (1 - dx) * dy, dx * dy];
        red += wa * data[a]! + wb * data[b]! + wc * data[a + below]! + wd * data[b + below]!;
        green += wa * data[a + 1]! + wb * data[b + 1]! + wc * data[a + below + 1]! + wd * data[b + below + 1]!;
        blue += wa * data[a + 2]! + wb * data[b + 2]! + wc * data[a + below + 2]! + wd * data[b + below + 2]!;
      }
      const at = (row * width + column) * 3;
      result[at] = Math.round(red * share);
      result[at + 1] = Math.round(green * share);
      result[at + 2] = Math.round(blue * share);
    }
  }
  return { width, height, data: result };
}
