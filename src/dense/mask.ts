import { DenseError } from './denseError.js';
import type { Box } from './lattice.js';

/** A set of pixels as rectangles that do not overlap, in the original's pixels. */
export type Runs = Iterable<Box>;

/** The runs along the rows of a mask of one byte a pixel, not 0 inside. */
export function* bitmapRuns(data: Uint8Array, width: number, height: number): Generator<Box, void> {
  for (let y = 0; y < height; y++) {
    const start = y * width;
    let x = 0;
    while (x < width) {
      while (x < width && data[start + x] === 0) x++;
      const left = x;
      while (x < width && data[start + x] !== 0) x++;
      if (x > left) yield { left, right: x, top: y, bottom: y + 1 };
    }
  }
}

/**
 * The runs of a mask in COCO's run lengths: down the columns, turns outside and inside, outside first.
 * @throws DenseError `bad_region`, at the first run, where the lengths are not those of width * height pixels.
 */
export function* runLengthRuns(counts: readonly number[], width: number, height: number): Generator<Box, void> {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total !== width * height) {
    throw new DenseError(
      'bad_region',
      `run lengths cover ${total} pixels, and the mask has ${width} x ${height} = ${width * height}`,
    );
  }
  let at = 0;
  for (const [i, count] of counts.entries()) {
    const end = at + count;
    // A run goes on at the top of the next column.
    while (i % 2 === 1 && at < end) {
      const column = Math.floor(at / height);
      const stop = Math.min(end, (column + 1) * height);
      yield { left: column, right: column + 1, top: at - column * height, bottom: stop - column * height };
      at = stop;
    }
    at = end;
  }
}

/**
 * Reads the string form of COCO's run lengths: 5 bits a character from "0" on, low bits first, a sixth bit where more follow;
 * from the fourth length on the difference to the one two before.
 * @throws DenseError `bad_region` for characters that it does not use, or a length that is none.
 */
export function readCompressedCounts(bytes: Uint8Array): number[] {
  const counts: number[] = [];
  let at = 0;
  while (at < bytes.length) {
    let value = 0;
    let shift = 0;
    for (let more = true; more; shift += 5) {
      const code = (bytes[at] ?? 0) - 48;
      if (code < 0 || code > 63 || shift > 30) {
        throw new DenseError('bad_region', `compressed run lengths: byte ${at} does not belong to a length`);
      }
      at++;
      value += (code & 31) * 2 ** shift;
      more = (code & 32) !== 0;
      if (!more && (code & 16) !== 0) value -= 2 ** (shift + 5);
    }
    const count = counts.length > 2 ? value + counts.at(-2)! : value;
    if (count < 0 || count > 2 ** 32) {
      throw new DenseError('bad_region', `compressed run lengths: number ${counts.length} comes to ${count}`);
    }
    counts.push(count);
  }
  return counts;
}
