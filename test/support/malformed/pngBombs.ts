import { crc32, deflateSync } from 'node:zlib';

function pngChunk(type: string, data: Buffer): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const frame = Buffer.alloc(8);
  frame.writeUInt32BE(data.length, 0);
  frame.writeUInt32BE(crc32(body) >>> 0, 4);
  return Buffer.concat([frame.subarray(0, 4), body, frame.subarray(4)]);
}

/** @param colour of PNG: 0 grey, 2 red, green and blue; 8 bits each */
function png(width: number, height: number, colour: 0 | 2, compressed: Buffer): Buffer {
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, colour, 0, 0, 0], 8);
  const signature = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);
  return Buffer.concat([
    signature,
    pngChunk('IHDR', header),
    pngChunk('IDAT', compressed),
    pngChunk('IEND', Buffer.alloc(0)),
  ]);
}

/** A PNG of a few bytes whose header announces billions of pixels. */
export function announcedBomb(width: number, height: number): Buffer {
  return png(width, height, 2, Buffer.alloc(64));
}

/** A whole PNG of one colour: a thousandth of the bytes that its pixels take. */
export function realBomb(side: number): Buffer {
  return png(side, side, 2, deflateSync(Buffer.alloc(side * (side * 3 + 1)), { level: 6 }));
}
