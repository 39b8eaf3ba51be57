import { setImmediate as nextTurn } from 'node:timers/promises';
import { forEachSlice } from '../tensor/slices.js';
import type { ResamplingPlan, Taps } from './resamplePlan.js';
import type { RgbImage } from './types.js';
import type { WorkClock } from './workClock.js';

/** Taps that copy: each pixel is its own. */
function copied(length: number): Taps {
  const indices = Int32Array.from({ length: length * 4 }, (_, at) => at >> 2);
  const weights = Float32Array.from({ length: length * 4 }, (_, at) => (at % 4 === 0 ? 1 : 0));
  return { indices, weights };
}

/** Enlarges one row into `row` [kept width * 3]. @param start offset in the data at which the window's row begins */
function enlargeColumns(data: Uint8Array, start: number, { indices, weights }: Taps, row: Float32Array): void {
  for (let at = 0, to = 0; at < indices.length; at += 4, to += 3) {
    const a = start + indices[at]! * 3;
    const b = start + indices[at + 1]! * 3;
    const c = start + indices[at + 2]! * 3;
    const d = start + indices[at + 3]! * 3;
    const [wa, wb, wc, wd] = [weights[at]!, weights[at + 1]!, weights[at + 2]!, weights[at + 3]!];
    row[to] = wa * data[a]! + wb * data[b]! + wc * data[c]! + wd * data[d]!;
    row[to + 1] = wa * data[a + 1]! + wb * data[b + 1]! + wc * data[c + 1]! + wd * data[d + 1]!;
    row[to + 2] = wa * data[a + 2]! + wb * data[b + 2]! + wc * data[c + 2]! + wd * data[d + 2]!;
  }
}

/**
 * Enlarges with the Catmull-Rom cubic (a = -0.5), computing only the pixels that are kept, rounded once at the end. libvips
 * cannot do this: its `resize` shifts the enlarged image by half an output pixel (libvips issue 4841), and the `affine` of sharp
 * always writes its whole enlarged input, with the border that the interpolation needs: gigabytes for an image of one pixel.
 *
 * Runs on the calling thread, and yields to the event loop every few milliseconds.
 * @param image contains the plan's window
 * @param at first pixel of the window in the image
 * @param clock its time limit
 */
export async function enlarge(
  image: RgbImage,
  at: { readonly left: number; readonly top: number },
  { x, y, kept }: ResamplingPlan,
  clock?: Pick<WorkClock, 'check'>,
): Promise<RgbImage> {
  const { width, height } = kept;
  const across = x.taps ?? copied(width);
  const down = y.taps ?? copied(height);
  const data = new Uint8ClampedArray(width * height * 3);
  // Cache of four enlarged rows of the window, by row number modulo 4: the taps of a pixel are four consecutive rows (or repeats).
  const rows = Array.from({ length: 4 }, () => ({ number: -1, values: new Float32Array(width * 3) }));
  const rowOf = (number: number): Float32Array => {
    const row = rows[number % 4]!;
    if (row.number !== number) {
      enlargeColumns(image.data, ((at.top + number) * image.width + at.left) * 3, across, row.values);
      row.number = number;
    }
    return row.values;
  };
  const work = (first: number, end: number): void => {
    for (let row = first; row < end; row++) {
      const from = row * 4;
      const a = rowOf(down.indices[from]!);
      const b = rowOf(down.indices[from + 1]!);
      const c = rowOf(down.indices[from + 2]!);
      const d = rowOf(down.indices[from + 3]!);
      const { weights } = down;
      const [wa, wb, wc, wd] = [weights[from]!, weights[from + 1]!, weights[from + 2]!, weights[from + 3]!];
      const to = row * width * 3;
      for (let i = 0; i < width * 3; i++) data[to + i] = wa * a[i]! + wb * b[i]! + wc * c[i]! + wd * d[i]!;
    }
  };
  for (const _ of forEachSlice(height, width * 3, work)) {
    await nextTurn();
    clock?.check();
  }
  return { width, height, data: new Uint8Array(data.buffer) };
}
