import sharp from 'sharp';
import { defaultImageLimits } from './decode.js';
import { decodeFailure } from './decodeFailure.js';
import { sniffFormat } from './format.js';
import { ImageError } from './imageError.js';

/** One number a pixel, as wide as in the file, rows from the top; not 0 inside the mask. */
export interface MaskImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Decodes a PNG file of one channel as a mask: a pixel belongs to it where its value is not 0.
 * @param size what the mask must have, checked before any pixel is decoded
 * @param maxSeconds longest decoding; 0: as long as it takes
 * @throws ImageError `unsupported_format`, `bad_dimensions` or `corrupt`.
 */
export async function decodeMask(
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  maxSeconds: number = defaultImageLimits.maxSeconds,
): Promise<MaskImage> {
  if (sniffFormat(bytes) !== 'png') throw new ImageError('unsupported_format', 'mask is no PNG file');
  const failed = (cause: unknown): never => {
    throw decodeFailure('png', cause, maxSeconds);
  };
  const { width, height, channels, depth } = await sharp(bytes, { limitInputPixels: false }).metadata().catch(failed);
  if (width !== size.width || height !== size.height) {
    throw new ImageError(
      'bad_dimensions',
      `mask of ${width} x ${height} pixels does not lie on the image of ${size.width} x ${size.height}; send it at that size`,
    );
  }
  if (channels !== 1) {
    const message = `mask has ${channels} channels (a palette counts as 3); send a greyscale PNG of one channel`;
    throw new ImageError('unsupported_format', message);
  }
  const picture = sharp(bytes, { failOn: 'error', limitInputPixels: width * height }).timeout({
    seconds: maxSeconds,
  });
  // 16-bit values below 256 would become 0 among 8-bit ones.
  const wide = depth === 'ushort';
  const pixels = await picture
    .toColourspace(wide ? 'grey16' : 'b-w')
    .raw({ depth: wide ? 'ushort' : 'uchar' })
    .toBuffer()
    .catch(failed);
  if (!wide) return { width, height, data: pixels };
  const { buffer, byteOffset } = pixels.byteOffset % 2 === 0 ? pixels : new Uint8Array(pixels);
  return { width, height, data: new Uint16Array(buffer, byteOffset, width * height) };
}
