import { crc32, deflateSync } from 'node:zlib';
import { ImageError } from './imageError.js';

/** Reads the chunks of PNG files (W3C, Portable Network Graphics, third edition). */

const SIGNATURE = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
const SIGNATURE_BYTES = SIGNATURE.length;
/** Length, type and checksum around a chunk's data. */
const FRAME_BYTES = 12;
const HEADER_BYTES = 13;
/** Encoders write chunks of 8 kB or more, and a file has at most 32 MiB by default. */
const MAX_CHUNKS = 100_000;

/** Colour types of IHDR. */
export type PngColour = 'grey' | 'RGB' | 'palette' | 'grey with alpha' | 'RGB with alpha';

const colours: ReadonlyMap<number, PngColour> = new Map([
  [0, 'grey'],
  [2, 'RGB'],
  [3, 'palette'],
  [4, 'grey with alpha'],
  [6, 'RGB with alpha'],
]);
const COLOUR_AT = 9;
const GREY = 0;
const PALETTE = 3;

/** The first chunk. Sizes are in pixels. */
export interface PngHeader {
  readonly width: number;
  readonly height: number;
  /** Bits of a sample (of an index, with a palette): 1, 2, 4, 8 or 16. */
  readonly bits: number;
  readonly colour: PngColour;
}

interface Chunk {
  readonly type: string;
  /** Offset of the chunk, which starts with its length in 4 bytes. */
  readonly at: number;
  readonly data: Uint8Array;
}

function damaged(what: string): ImageError {
  return new ImageError('corrupt', `PNG is damaged: ${what}; check that it was transferred completely`);
}

/** Whether the pixels depend on a chunk: its first letter is a capital. Other chunks are ignored here. */
const isCritical = (type: string): boolean => /^[A-Z]/.test(type);

/**
 * The chunks up to the last chunk of pixels. Later chunks may be missing or damaged: the decoder detects missing pixels.
 * @throws ImageError `corrupt` if a chunk ends beyond the file, or the checksum of a critical chunk is wrong.
 */
function* chunks(bytes: Uint8Array): Generator<Chunk> {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  let pixels = false;
  let count = 0;
  for (let at = SIGNATURE_BYTES; at < bytes.length; ) {
    if (++count > MAX_CHUNKS) throw damaged(`it has more than ${MAX_CHUNKS} chunks`);
    const type = String.fromCharCode(...bytes.subarray(at + 4, at + 8));
    if (pixels && type !== 'IDAT') return;
    if (at + FRAME_BYTES > bytes.length) throw damaged(`it ends within a chunk, at byte ${bytes.length}`);
    const end = at + FRAME_BYTES + view.getUint32(at);
    if (!/^[A-Za-z]{4}$/.test(type)) throw damaged(`there is no valid chunk at byte ${at}`);
    if (end > bytes.length) {
      throw damaged(
        `chunk ${type} at byte ${at} ends at byte ${end}, after the end of the file (${bytes.length} bytes)`,
      );
    }
    if (isCritical(type) && crc32(bytes.subarray(at + 4, end - 4)) !== view.getUint32(end - 4)) {
      throw damaged(`chunk ${type} at byte ${at} has a wrong checksum`);
    }
    yield { type, at, data: bytes.subarray(at + 8, end - 4) };
    if (type === 'IEND') return;
    pixels ||= type === 'IDAT';
    at = end;
  }
}

function header({ type, data }: Chunk): PngHeader {
  if (type !== 'IHDR' || data.length !== HEADER_BYTES) throw damaged('it does not start with a header (IHDR)');
  const view = new DataView(data.buffer, data.byteOffset, data.byteLength);
  const colour = colours.get(data[COLOUR_AT]!);
  if (colour === undefined) throw damaged(`colour type ${data[COLOUR_AT]} in its header is not valid`);
  return { width: view.getUint32(0), height: view.getUint32(4), bits: data[8]!, colour };
}

/**
 * The header alone.
 * @throws ImageError `corrupt`.
 */
export function pngHeader(bytes: Uint8Array): PngHeader {
  for (const chunk of chunks(bytes)) return header(chunk);
  throw damaged('it has no header (IHDR)');
}

/** @throws ImageError `corrupt` for a file with a truncated chunk, with a wrong checksum, or without pixels. */
export function checkPng(bytes: Uint8Array): void {
  let [first, pixels] = [true, false];
  for (const chunk of chunks(bytes)) {
    if (first) header(chunk);
    first = false;
    pixels ||= chunk.type === 'IDAT';
  }
  if (!pixels) throw damaged('it has no pixels (IDAT)');
}

function frame(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([numbers.subarray(0, 4), body, numbers.subarray(4)]);
}

/**
 * The same samples without their interpretation: no colour profile, gamma, palette, transparency or orientation. Palette indices
 * become grey levels, so that a decoder returns the numbers in the file.
 * @throws ImageError `corrupt` as `checkPng`.
 */
export function bareSamples(bytes: Uint8Array): Buffer {
  const parts = [bytes.subarray(0, SIGNATURE_BYTES)];
  for (const { type, at, data } of chunks(bytes)) {
    if (type === 'IDAT') parts.push(bytes.subarray(at, at + FRAME_BYTES + data.length));
    if (type !== 'IHDR') continue;
    const plain = Uint8Array.from(data);
    if (colours.get(plain[COLOUR_AT]!) === 'palette') plain[COLOUR_AT] = GREY;
    parts.push(frame(type, plain));
  }
  parts.push(frame('IEND', new Uint8Array(0)));
  return Buffer.concat(parts);
}

/**
 * A PNG file of 8-bit palette indices, as the label images of PASCAL VOC: readers of masks see the indices, viewers the colours.
 * @param indices of every pixel, rows from the top
 * @param palette red, green and blue of each index, at most 256
 */
export function encodePalettePng(
  indices: Uint8Array,
  { width, height }: Pick<PngHeader, 'width' | 'height'>,
  palette: readonly (readonly [number, number, number])[],
): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUInt32BE(width, 0);
  head.writeUInt32BE(height, 4);
  head[8] = 8;
  head[COLOUR_AT] = PALETTE;
  // Each row begins with its filter: 0, none.
  const rows = Buffer.alloc((width + 1) * height);
  for (let row = 0; row < height; row++)
    rows.set(indices.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  const parts = [frame('IHDR', head), frame('PLTE', Uint8Array.from(palette.flat())), frame('IDAT', deflateSync(rows))];
  return Buffer.concat([SIGNATURE, ...parts, frame('IEND', new Uint8Array(0))]);
}
