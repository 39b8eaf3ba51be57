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

/** What one picture may cost. */
export interface ImageLimits {
  /** Most bytes of an encoded or raw picture. */
  readonly imageBytes: number;
  /** Most pixels (width * height) of a decoded picture. */
  readonly imagePixels: number;
  /** Longest time in seconds for all steps from the file to the network input. Absent: for ever, as where others keep the time. */
  readonly decodeSeconds?: number;
}

/**
 * 32 MiB and 50 megapixels: a full-frame camera's JPEG passes, a decompression bomb does not. 30 s are four times what the slowest
 * picture found takes (noise, 50 megapixels, AVIF, a busy CPU).
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
    `image of ${width} x ${height} = ${width * height} pixels is over the limit of ${limits.imagePixels} (imagePixels); ` +
      'send a smaller one',
  );
}

function checkBytes(bytes: Uint8Array, limits: ImageLimits): void {
  if (bytes.byteLength <= limits.imageBytes) return;
  throw new ImageError(
    'too_large',
    `image of ${bytes.byteLength} bytes is over the limit of ${limits.imageBytes} (imageBytes); ` +
      'send a smaller or more compressed one',
  );
}

/** A picture file that may be decoded. */
export interface CheckedFile {
  /** What is to be decoded: the file, or a copy that comes to the same pixels. */
  readonly bytes: Uint8Array;
  /** Whether a warning of the decoder means damage. */
  readonly strict: boolean;
  /** The part of the canvas that the first frame covers, where a file says so (GIF). */
  readonly drawn?: Rectangle;
  readonly format: ImageFormat;
  /** Of the upright picture. */
  readonly size: Size;
  /** Whether its EXIF orientation asks for a rotation or a mirroring: libvips then holds the whole decoded picture. */
  readonly reoriented: boolean;
  /** Whether it is a JPEG file whose samples are sRGB already, as most photographs are: nothing to convert. */
  readonly plainJpeg: boolean;
}

function isPlainJpeg({ format, space, channels, depth, icc }: Metadata): boolean {
  return format === 'jpeg' && space === 'srgb' && channels === 3 && depth === 'uchar' && icc === undefined;
}

type WholeFile = Pick<CheckedFile, 'bytes' | 'strict' | 'drawn'>;

/** @throws ImageError for damage that the decoder would pass over, or give no name to. */
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
      checkTiff(bytes);
      break;
    case 'webp':
      checkWebp(bytes);
      break;
    case 'avif': // Its decoder misses what is behind the end.
      break;
  }
  return { bytes, strict: false };
}

/**
 * Reads a picture's header and holds it against the limits.
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
  // The header alone, without sharp's own pixel limit, so that the error can name the size.
  const header = await sharp(whole.bytes, { failOn: 'error', limitInputPixels: false })
    .metadata()
    .catch((cause: unknown) => {
      throw decodeFailure(format, cause, limits.decodeSeconds);
    });
  // libvips chooses its loader itself: make sure that it read what was allowed (a polyglot file may fool one of us).
  if (header.format !== (format === 'avif' ? 'heif' : format)) {
    throw new ImageError(
      'unsupported_format',
      `image starts like ${format} but reads as ${header.format}; convert it to one of ${readableFormats.join(', ')}`,
    );
  }
  checkPixels(header.width, header.height, limits);
  const reoriented = (header.orientation ?? 1) > 1;
  return { format, size: header.autoOrient, reoriented, plainJpeg: isPlainJpeg(header), ...whole };
}

/** The decoding of a checked file, upright; further steps may follow. */
export function decoding({ bytes, strict }: CheckedFile, limits: ImageLimits): Sharp {
  return sharp(bytes, { failOn: strict ? 'warning' : 'error', limitInputPixels: limits.imagePixels, pages: 1 })
    .timeout({ seconds: limits.decodeSeconds ?? 0 })
    .autoOrient();
}

/** @throws ImageError `corrupt`, or `too_large` where it takes too long. */
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

/** Makes everything outside a part of a picture white, in place. */
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
  const pipeline = decoding(file, limits).flatten({ background: '#ffffff' }).toColourspace('srgb');
  const image = await decodedPixels(pipeline, file.format, limits);
  // libvips makes it black where no frame has transparent pixels.
  if (file.drawn) whitenAround(image, file.drawn);
  return image;
}

/**
 * Decodes a picture to 8-bit sRGB.
 *
 * The format is found from the content, never from a name, and must be JPEG, PNG, WebP, GIF, TIFF or AVIF. EXIF
 * orientation is applied; embedded colour profiles, CMYK, greyscale and 16-bit samples are converted to sRGB;
 * transparent pixels and what no frame covers are laid over white (what a browser page shows, where dropping alpha would
 * bring out hidden colours); of an animation or a multi-page file the first frame is taken.
 *
 * A file that lacks pixels is an error, and so is one whose data are not what they should be, as far as its format lets that be
 * seen (`jpegDamage.ts`, `png.ts`, `gif.ts`, `tiff.ts`). What costs no pixel is none: a missing end marker, bytes behind the
 * end, unreadable metadata.
 * @throws ImageError `unsupported_format`, `too_large` or `corrupt`.
 */
export async function decodeImage(bytes: Uint8Array, limits: ImageLimits = defaultImageLimits): Promise<RgbImage> {
  return decodeChecked(await checkFile(bytes, limits), limits);
}

/**
 * Takes raw RGB pixels (8-bit, row-major, interleaved) as an image; the data is not copied.
 * @throws ImageError `bad_dimensions` where sizes and number of bytes disagree, `too_large` over a limit.
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
