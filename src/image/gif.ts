import { setImmediate } from 'node:timers/promises';
import { ImageError } from './imageError.js';
import type { Rectangle } from './resample.js';

/** GIF files by their blocks (GIF89a). Decoders show what they have of a file that is cut, and nothing tells. */

const EXTENSION = 0x21;
const IMAGE = 0x2c;
const TRAILER = 0x3b;
/** Codes of LZW have 12 bits at most. */
const MOST_BITS = 12;
/** Codes between two pauses: some milliseconds. */
const CODES_PER_STEP = 500_000;

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `GIF is damaged: ${what}; check that it was sent whole`);
}

interface Frame {
  readonly place: Rectangle;
  /** Bits of a colour number. */
  readonly bits: number;
  /** Where its data start. */
  readonly from: number;
}

/** Bytes of a table of colours. */
const tableBytes = (flags: number): number => ((flags & 0x80) === 0 ? 0 : 3 << ((flags & 7) + 1));

/** The place behind the blocks of up to 255 bytes that start at `from`, and their end. */
function skipBlocks(bytes: Uint8Array, from: number, what: string): number {
  let at = from;
  while (at < bytes.length && bytes[at] !== 0) at += bytes[at]! + 1;
  if (at >= bytes.length) throw damaged(`it ends within ${what}, at byte ${bytes.length}`);
  return at + 1;
}

/** The first frame; all frames are gone through, by their blocks. A missing trailer is nothing. */
function firstFrame(bytes: Uint8Array): Frame {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (bytes.length < 13) throw damaged(`it ends within its header, at byte ${bytes.length}`);
  let first: Frame | undefined;
  let frames = 0;
  for (let at = 13 + tableBytes(bytes[10]!); at < bytes.length && bytes[at] !== TRAILER; ) {
    if (bytes[at] === EXTENSION) {
      at = skipBlocks(bytes, at + 2, 'an extension');
      continue;
    }
    if (bytes[at] !== IMAGE) {
      // What follows a whole frame and is no block is ignored, as by others.
      if (first) break;
      throw damaged(`at byte ${at} there is no block`);
    }
    frames++;
    if (at + 10 > bytes.length) throw damaged(`it ends within frame ${frames}, at byte ${bytes.length}`);
    const side = (offset: number) => view.getUint16(at + offset, true);
    const place = { left: side(1), top: side(3), width: side(5), height: side(7) };
    const data = at + 10 + tableBytes(bytes[at + 9]!);
    at = skipBlocks(bytes, data + 1, `frame ${frames}`);
    first ??= { place, bits: bytes[data]!, from: data + 1 };
  }
  if (first) return first;
  throw damaged('it has no frame');
}

/** The data of a frame without the lengths of its blocks. */
function joined(bytes: Uint8Array, from: number): Uint8Array {
  const parts: Uint8Array[] = [];
  for (let at = from; bytes[at] !== 0; at += bytes[at]! + 1) parts.push(bytes.subarray(at + 1, at + 1 + bytes[at]!));
  return Buffer.concat(parts);
}

/** Counts the pixels that LZW codes come to, in steps; each code stands for a known number of them. */
function* countPixels(data: Uint8Array, colourBits: number, most: number): Generator<number, number> {
  const clear = 1 << colourBits;
  const lengths = new Uint32Array(1 << MOST_BITS).fill(1, 0, clear);
  let [next, size, last] = [clear + 2, colourBits + 1, -1];
  let [bits, count, at, pixels] = [0, 0, 0, 0];
  for (let codes = 1; pixels < most; codes++) {
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
      throw damaged(`a code behind ${pixels} of ${most} pixels of its first frame does not exist`);
    }
    if (last >= 0 && next < lengths.length) {
      lengths[next] = lengths[last]! + 1;
      next++;
      if (next === 1 << size && size < MOST_BITS) size++;
    }
    pixels += lengths[code]!;
    last = code;
    if (codes % CODES_PER_STEP === 0) yield pixels;
  }
  return pixels;
}

/**
 * Where the first frame lies on the canvas.
 * @throws ImageError `corrupt` where the file ends within a frame, or the first frame has fewer pixels than its size.
 */
export async function checkGif(bytes: Uint8Array): Promise<Rectangle> {
  const { place, bits, from } = firstFrame(bytes);
  if (bits < 1 || bits >= MOST_BITS) throw damaged(`colours of ${bits} bits do not exist`);
  const most = place.width * place.height;
  const counting = countPixels(joined(bytes, from), bits, most);
  let step = counting.next();
  for (; !step.done; step = counting.next()) await setImmediate();
  if (step.value >= most) return place;
  throw damaged(`its first frame has ${step.value} of ${most} pixels`);
}
