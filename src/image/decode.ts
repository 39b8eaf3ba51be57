import sharp, { type Metadata, type Sharp } from 'sharp';
import { decodeFailure } from './decodeFailure.js';
import { type ImageFormat, readableFormats, refusalOf, sniffFormat } from './format.js';
import { firstGifFrame } from './gif.js';
import { ImageError } from './imageError.js';
import { checkJpeg } from './jpegDamage.js';
import { plainJpegSize } from './jpegHeader.js';
import { checkPng } from './png.js';
import { checkTiff } from './tiff.js';
import type { Rectangle, RgbImage, Size } from './types.js';
import { checkWebp } from './webp.js';

/** Limits of one image. */
export interface ImageLimits {
  /** Maximum bytes of an encoded or raw image. */
  readonly imageBytes: number;
  /** Maximum pixels (width * height) of a decoded image. */
  readonly imagePixels: number;
  /** Maximum time in seconds for all steps from the file to the network input. Absent: unlimited, if the caller enforces a limit. */
  readonly decodeSeconds?: number;
}

/**
 * 32 MiB and 50 megapixels accept JPEGs of full-frame cameras and reject decompression bombs. 30 s is four times the duration of the
 * slowest image found (noise, 50 megapixels, AVIF, a busy CPU).
 */
export const defaultImageLimits = {
  imageBytes: 32 * 1024 * 1024,
  imagePixels: 50_000_000,
  decodeSeconds: 30,
} as const satisfies ImageLimits;

function checkPixels(width: number, height: number, limits: ImageLimits): void {
  if (width * height <= limits.imagePixels) return;
  throw new ImageError(
    'too_large',
    `image of ${width} x ${height} = ${width * height} pixels exceeds the limit of ${limits.imagePixels} (imagePixels); ` +
      'send a smaller one',
  );
}

function checkBytes(bytes: Uint8Array, limits: ImageLimits): void {
  if (bytes.byteLength <= limits.imageBytes) return;
  throw new ImageError(
    'too_large',
    `image of ${bytes.byteLength} bytes exceeds the limit of ${limits.imageBytes} (imageBytes); ` +
      'send a smaller or more compressed one',
  );
}

/** An image file that has been checked. */
export interface CheckedFile {
  /** The bytes to decode: the file, or a copy that decodes to the same pixels. */
  readonly bytes: Uint8Array;
  /** Whether a warning of the decoder indicates damage. */
  readonly strict: boolean;
  /** The part of the canvas that the first frame covers, if the file states it (GIF). */
  readonly drawn?: Rectangle;
  /** Whether the last sample of a pixel is neither a colour nor alpha (TIFF), so that it is left out. */
  readonly otherSample?: boolean;
  readonly format: ImageFormat;
  /** Size of the upright image, after EXIF orientation. */
  readonly size: Size;
  /** Whether EXIF requires a rotation or mirroring: libvips then holds the whole decoded image. */
  readonly reoriented: boolean;
  /** Whether it is a JPEG file whose samples are already sRGB, as in most photographs, so that no conversion is needed. */
  readonly plainJpeg: boolean;
}

function isPlainJpeg({ format, space, channels, depth, icc }: Metadata): boolean {
  return format === 'jpeg' && space === 'srgb' && channels === 3 && depth === 'uchar' && icc === undefined;
}

type WholeFile = Pick<CheckedFile, 'bytes' | 'strict' | 'drawn' | 'otherSample'>;

/** @throws ImageError for damage that the decoder would ignore or not describe. */
async function wholeFile(bytes: Uint8Array, format: ImageFormat): Promise<WholeFile> {
  switch (format) {
    case 'jpeg':
      return checkJpeg(bytes);
    case 'gif':
      return { strict: false, ...(await firstGifFrame(bytes)) };
    case 'png':
      checkPng(bytes);
      break;
    case 'tiff':
      return { bytes, strict: false, ...checkTiff(bytes) };
    case 'webp':
      checkWebp(bytes);
      break;
    case 'avif': // Its decoder does not detect a truncated file.
      break;
  }
  return { bytes, strict: false };
}

/**
 * Reads the header of an image file and checks it against the limits.
 * @throws ImageError `unsupported_format`, `too_large` or `corrupt`.
 */
export async function checkFile(bytes: Uint8Array, limits: ImageLimits): Promise<CheckedFile> {
  checkBytes(bytes, limits);
  const format = sniffFormat(bytes);
  if (format === undefined) throw new ImageError('unsupported_format', `image ${refusalOf(bytes)}`);
  const whole = await wholeFile(bytes, format);
  const plain = format === 'jpeg' ? plainJpegSize(bytes) : undefined;
  if (plain !== undefined) {
    checkPixels(plain.width, plain.height, limits);
    return { format, size: plain, reoriented: false, plainJpeg: true, ...whole };
  }
  // Reads only the header, without sharp's own pixel limit, so that the error can state the size.
  const header = await sharp(whole.bytes, { failOn: 'error', limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw decodeFailure(format, cause, limits.decodeSeconds);
    });
  // libvips chooses its own loader. Verify that it agrees, since a polyglot file may deceive one of the two checks.
  if (header.format !== (format === 'avif' ? 'heif' : format)) {
    throw new ImageError(
      'unsupported_format',
      `image starts as ${format} but is decoded as ${header.format}; convert it to one of ${readableFormats.join(', ')}`,
    );
  }
  checkPixels(header.width, header.height, limits);
  const reoriented = (header.orientation ?? 1) > 1;
  return { format, size: header.autoOrient, reoriented, plainJpeg: isPlainJpeg(header), ...whole };
}

/** The decoding pipeline of a checked file, upright; further steps can be appended. */
export function decoding({ bytes, strict }: CheckedFile, limits: ImageLimits): Sharp {
  return sharp(bytes, { failOn: strict ? 'warning' : 'error', limitInputPixels: limits.imagePixels, pages: 1 })
    .timeout({ seconds: limits.decodeSeconds ?? 0 })
    .autoOrient();
}

/** @throws ImageError `corrupt`, or `too_large` if it takes too long. */
export async function decodedPixels(pipeline: Sharp, format: ImageFormat, limits: ImageLimits): Promise<RgbImage> {
  const { data, info } = await pipeline
    .raw()
    .toBuffer({ resolveWithObject: true })
    .catch((cause: unknown) => {
      throw decodeFailure(format, cause, limits.decodeSeconds);
    });
  return {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

/** Sets all pixels outside a part of an image to white, in place. */
function whitenAround({ width, height, data }: RgbImage, { left, top, ...part }: Rectangle): void {
  const right = Math.min(left + part.width, width);
  const bottom = Math.min(top + part.height, height);
  for (let row = 0; row < height; row++) {
    const start = row * width * 3;
    if (row < top || row >= bottom || left >= right) data.fill(255, start, start + width * 3);
    else data.fill(255, start, start + left * 3).fill(255, start + right * 3, start + width * 3);
  }
}

/** `decodeImage` of a file that has been checked. */
export async function decodeChecked(file: CheckedFile, limits: ImageLimits): Promise<RgbImage> {
  const upright = decoding(file, limits);
  // libvips takes any sample after the colours as alpha.
  const opaque = file.otherSample ? upright.removeAlpha() : upright.flatten({ background: '#ffffff' });
  const image = await decodedPixels(opaque.toColourspace('srgb'), file.format, limits);
  // libvips makes this area black if no frame has transparent pixels.
  if (file.drawn) whitenAround(image, file.drawn);
  return image;
}

/**
 * Decodes an image file to 8-bit sRGB.
 *
 * The format is detected from the content, never from a name, and must be JPEG, PNG, WebP, GIF, TIFF or AVIF. EXIF
 * orientation is applied; embedded colour profiles, CMYK, greyscale and 16-bit samples are converted to sRGB;
 * transparent pixels and areas that no frame covers become white (as on a browser page; dropping alpha would reveal hidden
 * colours); the first frame or page of an animation or multi-page file is used.
 *
 * A file with missing pixels is an error, and so is one with damaged data, as far as the format allows detecting it
 * (`jpegDamage.ts`, `png.ts`, `gif.ts`, `tiff.ts`). Defects that do not affect pixels are accepted: a missing end marker, bytes
 * after the end, unreadable metadata.
 * @throws ImageError `unsupported_format`, `too_large` or `corrupt`.
 */
export async function decodeImage(bytes: Uint8Array, limits: ImageLimits = defaultImageLimits): Promise<RgbImage> {
  return decodeChecked(await checkFile(bytes, limits), limits);
}

/**
 * Uses raw RGB pixels (8-bit, row-major, interleaved) as an image; the data is not copied.
 * @throws ImageError `bad_dimensions` if sizes and number of bytes disagree, `too_large` over a limit.
 */
export function rawImage(
  data: Uint8Array,
  width: number,
  height: number,
  limits: ImageLimits = defaultImageLimits,
): RgbImage {
  for (const [name, value] of [
    ['width', width],
    ['height', height],
  ] as const) {
    if (!Number.isInteger(value) || value < 1) {
      throw new ImageError('bad_dimensions', `raw image ${name} is ${value}; it must be a whole number of at least 1`);
    }
  }
  checkBytes(data, limits);
  checkPixels(width, height, limits);
  if (data.byteLength !== width * height * 3) {
    throw new ImageError(
      'bad_dimensions',
      `raw image of ${width} x ${height} needs ${width * height * 3} bytes (width * height * 3, RGB), got ${data.byteLength}`,
    );
  }
  return { width, height, data };
}
