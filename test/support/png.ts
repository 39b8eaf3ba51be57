import { crc32, deflateSync } from 'node:zlib';

/** Colour types of a PNG header. */
export const GREY = 0;
export const RGB = 2;
export const PALETTE = 3;
export const GREY_ALPHA = 4;
export const RGB_ALPHA = 6;

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
const CHANNELS: Record<number, number> = { [GREY]: 1, [RGB]: 3, [PALETTE]: 1, [GREY_ALPHA]: 2, [RGB_ALPHA]: 4 };

export function pngChunk(type: string, data: Uint8Array): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const numbers = Buffer.alloc(8);
  numbers.writeUInt32BE(data.length, 0);
  numbers.writeUInt32BE(crc32(body), 4);
  return Buffer.concat([numbers.subarray(0, 4), body, numbers.subarray(4)]);
}

interface PngHeader {
  readonly width: number;
  readonly height: number;
  readonly bits: number;
  /** GREY and so on. */
  readonly colour: number;
}

/** @param data content of IDAT @param between chunks between header and data */
export function pngOf(header: PngHeader, data: Uint8Array, between: readonly Buffer[] = []): Buffer {
  const fields = Buffer.alloc(13);
  fields.writeUInt32BE(header.width, 0);
  fields.writeUInt32BE(header.height, 4);
  fields.set([header.bits, header.colour, 0, 0, 0], 8);
  return Buffer.concat([
    SIGNATURE,
    pngChunk('IHDR', fields),
    ...between,
    pngChunk('IDAT', data),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A PNG of the given samples, with rows from the top and interleaved channels. They are neither scaled nor converted. */
export function writePng(header: PngHeader, samples: ArrayLike<number>, between: readonly Buffer[] = []): Buffer {
  const perRow = header.width * CHANNELS[header.colour]!;
  const rowBytes = Math.ceil((perRow * header.bits) / 8);
  const rows = Buffer.alloc(header.height * (rowBytes + 1));
  for (let y = 0; y < header.height; y++) {
    for (let x = 0; x < perRow; x++) {
      const sample = samples[y * perRow + x]!;
      const bit = x * header.bits;
      const at = y * (rowBytes + 1) + 1 + (bit >> 3);
      if (header.bits === 16) rows.writeUInt16BE(sample, at);
      else rows[at]! |= sample << (8 - header.bits - (bit & 7));
    }
  }
  return pngOf(header, deflateSync(rows), between);
}
