import type { Rectangle, RgbImage, Size } from '../../image/types.js';
import { IMAGENET_MEAN } from '../../nn/pixels.js';

/** Parts of a photograph that the network sees at once. */

export interface WindowOptions {
  /** Photographs with a longer side are cut into windows of this side, in pixels. */
  readonly side: number;
  /** Largest distance of neighbouring windows, in pixels. */
  readonly step: number;
}

/**
 * Windows of a side, in pixels.
 * @param step at most the side. Default: two thirds of the side.
 */
export function windowOptions(side: number, step = Math.max(1, Math.floor((side * 2) / 3))): WindowOptions {
  return { side, step: Math.min(step, side) };
}

/** Starts of windows along one axis: every `step` pixels, the last at the end. */
function starts(length: number, { side, step }: WindowOptions): number[] {
  if (length <= side) return [0];
  const count = Math.ceil((length - side) / step) + 1;
  return Array.from({ length: count }, (_, i) => Math.min(i * step, length - side));
}

/** The windows of a photograph, all of one size, row by row: the whole where no side is longer than a window. */
export function windowsOf({ width, height }: Size, options: WindowOptions): Rectangle[] {
  const size = { width: Math.min(width, options.side), height: Math.min(height, options.side) };
  return starts(height, options).flatMap((top) => starts(width, options).map((left) => ({ left, top, ...size })));
}

/** A size rounded up to multiples of a stride, and at least `least` pixels a side. */
export function paddedSize({ width, height }: Size, stride: number, least = 0): Size {
  const padded = (side: number) => Math.ceil(Math.max(side, least) / stride) * stride;
  return { width: padded(width), height: padded(height) };
}

/** The colour of padding: the mean of ImageNet, which the network's normalisation turns to (nearly) 0. */
const PADDING = IMAGENET_MEAN.map((mean) => Math.round(mean * 255));

/**
 * Copies a window of a photograph, at the top left of the given size; the rest is padding.
 * @param target takes the pixels, [size.height, size.width, 3]
 * @param flip mirrors the window left to right; the padding stays on the right
 */
export function copyWindow(image: RgbImage, window: Rectangle, size: Size, flip: boolean, target: Uint8Array): void {
  for (let i = 0; i < target.length; i++) target[i] = PADDING[i % 3]!;
  for (let row = 0; row < window.height; row++) {
    const from = ((window.top + row) * image.width + window.left) * 3;
    const line = image.data.subarray(from, from + window.width * 3);
    const to = row * size.width * 3;
    if (!flip) {
      target.set(line, to);
      continue;
    }
    for (let x = 0; x < window.width; x++) {
      const source = (window.width - 1 - x) * 3;
      for (let c = 0; c < 3; c++) target[to + x * 3 + c] = line[source + c]!;
    }
  }
}
