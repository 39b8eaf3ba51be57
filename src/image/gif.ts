import { setImmediate } from 'node:timers/promises';
import { ImageError } from './imageError.js';
import type { Rectangle } from './types.js';

/** Reads the blocks of GIF files (GIF89a). */

const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
/** LZW codes have at most 12 bits. */
const MAX_BITS = 12;
/** Codes between two pauses: some milliseconds. */
const CODES_PER_STEP = 500_000;

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `GIF is damaged: ${what}; check that it was transferred completely`);
}

interface Frame {
  readonly place: Rectangle;
  /** Bits of a colour index. */
  readonly bits: number;
  /** Offset of its data. */
  readonly from: number;
}

/** Bytes of a colour table. */
const tableBytes = (flags: number): number => ((flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1));

/** End of the blocks of up to 255 bytes that start at `from`: a length of 0, or the end of the file. */
function skipBlocks(bytes: Uint8Array, from: number): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== 0) at += bytes[at]! + 1;
  return Math.max(from, Math.min(at, bytes.length));
}

/** The data of the blocks of up to 255 bytes that start at `from`, without their lengths, and the end of the blocks. */
function readBlocks(bytes: Uint8Array, from: number): { data: Uint8Array; end: number; ended: boolean } {
  const end = skipBlocks(bytes, from);
  const data = new Uint8Array(end - from);
  let length = 0;
  for (let at = from; at < end; at += bytes[at]! + 1) {
    const block = bytes.subarray(at + 1, at + 1 + bytes[at]!);
    data.set(block, length);
    length += block.length;
  }
  return { data: data.subarray(0, length), end, ended: end < bytes.length };
}

/** The first frame; the rest of the file is not read. */
function firstFrame(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 13) throw damaged(`it ends within its header, at byte ${bytes.length}`);
  let at = 13 + tableBytes(bytes[10]!);
  while (bytes[at] === EXTENSION) at = skipBlocks(bytes, at + 2) + 1;
  if (at + 10 > bytes.length) throw damaged(`it ends before its first frame, at byte ${bytes.length}`);
  if (bytes[at] !== IMAGE) throw damaged(`its first frame is missing at byte ${at}`);
  const side = (offset: number) => view.getUint16(at + offset, true);
  const place = { left: side(1), top: side(3), width: side(5), height: side(7) };
  const data = at + 10 + tableBytes(bytes[at + 9]!);
  return { place, bits: bytes[data] ?? 0, from: data + 1 };
}

/** Counts the pixels of LZW codes in steps; each code represents a known number of pixels. */
function* countPixels(data: Uint8Array, colourBits: number, expectedPixels: number): Generator<number, number> {
  const clear = 1 << colourBits;
  const lengths = new Uint32Array(1 << MAX_BITS).fill(1, 0, clear);
  let [next, size, last] = [clear + 2, colourBits + 1, -1];
  let [bits, count, at, pixels] = [0, 0, 0, 0];
  for (let codes = 1; pixels < expectedPixels; codes++) {
    while (count < size && at < data.length) {
      bits |= data[at++]! << count;
      count += 8;
    }
    if (count < size) return pixels;
    const code = bits & ((1 << size) - 1);
    bits >>>= size;
    count -= size;
    if (code === clear + 1) return pixels;
    if (code === clear) {
      [next, size, last] = [clear + 2, colourBits + 1, -1];
      continue;
    }
    if (code > next || (last < 0 && code >= clear) || (code === next && next >= lengths.length)) {
      throw damaged(`its first frame has an invalid code after ${pixels} of ${expectedPixels} pixels`);
    }
    if (last >= 0 && next < lengths.length) {
      lengths[next] = lengths[last]! + 1;
      next++;
      if (next === 1 << size && size < MAX_BITS) size++;
    }
    pixels += lengths[code]!;
    last = code;
    if (codes % CODES_PER_STEP === 0) yield pixels;
  }
  return pixels;
}

/** The first frame of a GIF file. */
export interface GifStill {
  /** A file with only that frame. */
  readonly bytes: Uint8Array;
  /** Its position on the canvas. */
  readonly drawn: Rectangle;
}

/**
 * Extracts the first frame of a GIF file, and checks that it has all its pixels. Later frames may be truncated or damaged.
 * @throws ImageError `corrupt` if it has fewer pixels than its size requires.
 */
export async function firstGifFrame(bytes: Uint8Array): Promise<GifStill> {
  const { place: drawn, bits, from } = firstFrame(bytes);
  const expectedPixels = drawn.width * drawn.height;
  const { data, end, ended } = readBlocks(bytes, from);
  if (bits < 1 || bits >= MAX_BITS) throw damaged(`colours of ${bits} bits are not valid`);
  const counting = countPixels(data, bits, expectedPixels);
  let step = counting.next();
  for (; !step.done; step = counting.next()) await setImmediate();
  if (step.value < expectedPixels) {
    const where = ended ? '' : `, where it ends at byte ${bytes.length}`;
    throw damaged(`its first frame has ${step.value} of ${expectedPixels} pixels${where}`);
  }
  return { bytes: Buffer.concat([bytes.subarray(0, end), Buffer.from([0, TRAILER])]), drawn };
}
