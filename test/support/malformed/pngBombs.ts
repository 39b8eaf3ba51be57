import { deflateSync } from 'node:zlib';
import { pngOf, RGB } from '../png.js';

/** A PNG of a few bytes whose header declares billions of pixels. */
export function announcedBomb(width: number, height: number): Buffer {
  return pngOf({ width, height, bits: 8, colour: RGB }, Buffer.alloc(64));
}

/** A complete PNG of one colour, with a thousandth of the bytes of its pixels. */
export function realBomb(side: number): Buffer {
  const rows = deflateSync(Buffer.alloc(side * (side * 3 + 1)), { level: 6 });
  return pngOf({ width: side, height: side, bits: 8, colour: RGB }, rows);
}
