import sharp from 'sharp';
import { defaultImageLimits } from './decode.js';
import { decodeFailure } from './decodeFailure.js';
import { describeContent, sniffFormat } from './format.js';
import { ImageError } from './imageError.js';
import { bareSamples, pngHeader } from './png.js';

/** One value per pixel, rows from the top; not 0 inside the mask. Values of 1, 2 and 4 bits are scaled to 8. */
export interface MaskImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint16Array;
}

/**
 * Decodes an 8-bit RGB PNG file whose three channels are equal: a grey image that was saved in colour. Values are as in the file, as
 * `decodeMask` has them.
 * @returns undefined where a pixel has different channels.
 * @throws ImageError `corrupt`.
 */
export async function decodeEqualChannels(bytes: Uint8Array): Promise<Uint8Array | undefined> {
  const { width, height } = pngHeader(bytes);
  const rgb = await sharp(bareSamples(bytes), { failOn: 'warning', limitInputPixels: width * height })
    .raw()
    .toBuffer()
    .catch((cause: unknown) => {
      throw decodeFailure('png', cause, 0, 'mask');
    });
  const values = new Uint8Array(width * height);
  for (let i = 0; i < values.length; i++) {
    const value = rgb[3 * i]!;
    if (value !== rgb[3 * i + 1] || value !== rgb[3 * i + 2]) return undefined;
    values[i] = value;
  }
  return values;
}

/** Colour types with one value per pixel. */
const singleNumbers: readonly string[] = ['grey', 'palette'];

/**
 * Decodes a PNG file as a mask: a pixel belongs to it if its value is not 0. The value is the grey level, or the palette index
 * (not its colour, as in the label images of PASCAL VOC and DAVIS), with 1, 2, 4, 8 or 16 bits, interlaced or not. Colour profiles,
 * gamma, transparency and orientation do not affect a mask.
 * @param size required size of the mask, checked before any pixel is decoded
 * @param decodeSeconds time limit of the decoding; 0 means unlimited
 * @throws ImageError `unsupported_format`, `bad_dimensions` or `corrupt`.
 */
export async function decodeMask(
  bytes: Uint8Array,
  size: { readonly width: number; readonly height: number },
  decodeSeconds: number = defaultImageLimits.decodeSeconds,
): Promise<MaskImage> {
  if (sniffFormat(bytes) !== 'png') {
    throw new ImageError(
      'unsupported_format',
      `mask ${describeContent(bytes)}; send a PNG file, a bitmap or run lengths`,
    );
  }
  const { width, height, bits, colour } = pngHeader(bytes);
  if (width !== size.width || height !== size.height) {
    throw new ImageError(
      'bad_dimensions',
      `mask of ${width} x ${height} pixels does not match the image of ${size.width} x ${size.height}; send it at that size`,
    );
  }
  if (!singleNumbers.includes(colour)) {
    const message = `mask is ${colour}, with several values per pixel; send a PNG with one channel, greyscale or with a palette`;
    throw new ImageError('unsupported_format', message);
  }
  // 16-bit values below 256 would become 0 among 8-bit ones.
  const wide = bits === 16;
  const pixels = await sharp(bareSamples(bytes), { failOn: 'warning', limitInputPixels: width * height })
    .timeout({ seconds: decodeSeconds })
    .toColourspace(wide ? 'grey16' : 'b-w')
    .raw({ depth: wide ? 'ushort' : 'uchar' })
    .toBuffer()
    .catch((cause: unknown) => {
      throw decodeFailure('png', cause, decodeSeconds, 'mask');
    });
  if (!wide) return { width, height, data: pixels };
  const { buffer, byteOffset } = pixels.byteOffset % 2 === 0 ? pixels : new Uint8Array(pixels);
  return { width, height, data: new Uint16Array(buffer, byteOffset, width * height) };
}
