import { FeatureOpError } from './featureOpError.js';

/**
 * A set of pixels as rectangles that do not overlap, in the original's pixels: left, right, top and bottom of each as four
 * consecutive numbers, in batches. Finding or reading a batch takes a few milliseconds at most, so that there can be a pause
 * between batches. A batch may be empty. Plain numbers, since millions of objects would cost several times as much.
 */
export type Runs = Iterable<readonly number[]>;

/** Pixels of a bitmap that are read for one batch: a millisecond or two. */
const PIXELS_PER_BATCH = 1_000_000;

/** Run lengths that are read for one batch: a few milliseconds. */
const LENGTHS_PER_BATCH = 20_000;

/** Numbers of a full batch, four for each rectangle. */
const BATCH_NUMBERS = 4 * 20_000;

/** The first pixel from `at` on that is set, or `end`. */
function nextSet(data: Uint8Array | Uint16Array, at: number, end: number): number {
  let next = at;
  while (next < end && data[next] === 0) next++;
  return next;
}

/** The first pixel from `at` on that is not set, or `end`. */
function nextUnset(data: Uint8Array | Uint16Array, at: number, end: number): number {
  let next = at;
  while (next < end && data[next] !== 0) next++;
  return next;
}

/** The runs along the rows of a mask with one number a pixel, 0 outside. */
export function* bitmapRuns(data: Uint8Array | Uint16Array, width: number, height: number): Generator<number[]> {
  let batch: number[] = [];
  let seen = 0;
  for (let y = 0; y < height; y++) {
    const start = y * width;
    // A row may be as long as a whole image.
    for (let from = 0; from < width; from += PIXELS_PER_BATCH) {
      const end = start + Math.min(width, from + PIXELS_PER_BATCH);
      let left = nextSet(data, start + from, end);
      while (left < end) {
        const right = nextUnset(data, left, end);
        batch.push(left - start, right - start, y, y + 1);
        left = nextSet(data, right, end);
        if (batch.length < BATCH_NUMBERS) continue;
        yield batch;
        batch = [];
      }
      seen += end - start - from;
      if (seen < PIXELS_PER_BATCH) continue;
      seen = 0;
      yield batch;
      batch = [];
    }
  }
  yield batch;
}

/** Adds a run of pixels in column-major order: parts of the first and the last column, and the whole columns between. */
function pushColumnRun(batch: number[], from: number, to: number, height: number): void {
  let at = from;
  while (at < to) {
    const column = Math.floor(at / height);
    const top = at - column * height;
    const whole = top === 0 ? Math.floor((to - at) / height) : 0;
    const bottom = whole > 0 ? height : Math.min(height, top + to - at);
    const right = column + Math.max(1, whole);
    batch.push(column, right, top, bottom);
    at = (right - 1) * height + bottom;
  }
}

/**
 * The runs of a mask in COCO's run lengths: column-major, alternately outside and inside, outside first.
 * @throws FeatureOpError `bad_region`, while it is read, if the lengths do not sum to width * height pixels.
 */
export function* runLengthRuns(lengths: Iterable<number>, width: number, height: number): Generator<number[]> {
  const pixels = width * height;
  const problem = (what: string): FeatureOpError =>
    new FeatureOpError('bad_region', `${what}, and the mask has ${width} x ${height} = ${pixels}`);
  let batch: number[] = [];
  let at = 0;
  let count = 0;
  for (const length of lengths) {
    const end = at + length;
    if (end > pixels) throw problem(`run lengths cover ${end} pixels or more`);
    // The first length is 0 where the mask begins inside. Other zeros are allowed, up to this count.
    if (count > pixels) throw problem(`run lengths are more than ${pixels + 1}`);
    if (count % 2 === 1) pushColumnRun(batch, at, end, height);
    at = end;
    count++;
    if (count % LENGTHS_PER_BATCH > 0) continue;
    yield batch;
    batch = [];
  }
  if (at !== pixels) throw problem(`run lengths cover ${at} pixels`);
  yield batch;
}

/**
 * Reads the string form of COCO's run lengths: 5 bits a character (its code minus 48), low bits first, and a sixth bit where
 * more follow. From the fourth on, a number is the difference to the length two before it.
 * @throws FeatureOpError `bad_region`, while it is read, for invalid characters and for lengths that are negative or too large.
 */
export function* compressedLengths(bytes: Uint8Array): Generator<number> {
  let [last, lastButOne] = [0, 0];
  let count = 0;
  let at = 0;
  while (at < bytes.length) {
    let value = 0;
    let shift = 0;
    for (let more = true; more; shift += 5) {
      const code = (bytes[at] ?? 0) - 48;
      if (code < 0 || code > 63 || shift > 30) {
        throw new FeatureOpError('bad_region', `compressed run lengths: byte ${at} does not belong to a length`);
      }
      at++;
      value += (code & 31) * 2 ** shift;
      more = (code & 32) !== 0;
      if (!more && (code & 16) !== 0) value -= 2 ** (shift + 5);
    }
    const length = count > 2 ? value + lastButOne : value;
    if (length < 0 || length > 2 ** 32) {
      throw new FeatureOpError('bad_region', `compressed run lengths: number ${count} comes to ${length}`);
    }
    yield length;
    [last, lastButOne] = [length, last];
    count++;
  }
}
