import type { Image } from '../proto/generated/vicregl/v1/Image.js';
import { bool } from './bool.js';
import { bytes, kindOf } from './bytes.js';
import { protocolName } from './protocolNames.js';
import { uint32Fields } from './uint32.js';
import { VicreglError } from './vicreglError.js';

/** Uncompressed pixels: width * height * 3 bytes, red, green, blue, rows from the top. */
export interface RawPixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** The bytes of an image file (JPEG, PNG, WebP, AVIF, GIF, TIFF), or raw pixels. */
export type Pixels = Uint8Array | RawPixels;

/** How an image is resized to the network input; sizes in pixels, multiples of the model's stride. */
export type Resize =
  /**
   * Resizes the shortest side to `resize`, then cuts out the central `crop` x `crop` square. Defaults: the model's own sizes,
   * with a smaller crop if `resize` requires it.
   */
  | { readonly kind: 'shortestSide'; readonly resize?: number; readonly crop?: number }
  /** Stretch to exactly this size. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number }
  /** Keep the image's size, rounded to the stride. */
  | { readonly kind: 'native' };

/** A rectangle of the original image in pixels, mirrored left to right if `flip` is set. */
export interface CropRectangle {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly flip?: boolean;
}

/** An image with its crop and size. Only `match` by location accepts one without pixels. */
export interface PlacedImage {
  readonly pixels?: Pixels;
  readonly crop?: CropRectangle;
  /** Default: the model's shortest side and central square; with a crop, the whole crop stretched to that square. */
  readonly resize?: Resize;
}

export type ImageInput = Pixels | PlacedImage;

/** The fields of a `PlacedImage`. */
const PLACED = ['pixels', 'crop', 'resize'] as const satisfies readonly (keyof PlacedImage)[];

/** Whether a value is an object with one of these keys. Callers in JavaScript may pass anything. */
function has(value: unknown, keys: readonly string[]): boolean {
  // An ArrayBuffer has a method `resize`.
  if (typeof value !== 'object' || value === null || value instanceof ArrayBuffer) return false;
  return keys.some((key) => key in value);
}

/** Whether a value is {}: an image without pixels, of which the service says what is missing. */
const isEmpty = (value: unknown): boolean =>
  typeof value === 'object' &&
  value !== null &&
  Object.getPrototypeOf(value) === Object.prototype &&
  Object.keys(value).length === 0;

const isRaw = (value: unknown): value is RawPixels => has(value, ['rgb']);

function notAnImage(value: unknown, field: string): VicreglError {
  return new VicreglError(
    'INVALID_ARGUMENT',
    `${field}: a value of type ${kindOf(value)} is not an image; give the bytes of a file as Uint8Array, { width, height, rgb }, or ` +
      `{ ${PLACED.join(', ')} }`,
  );
}

function sourceOf(pixels: Pixels | undefined, field: string): Image {
  if (pixels === undefined) return {};
  if (pixels instanceof Uint8Array) return { encoded: pixels };
  if (!isRaw(pixels)) throw notAnImage(pixels, field);
  const { width, height, rgb } = pixels;
  return { raw: { ...uint32Fields(field, { width, height }), rgb: bytes(`${field}.rgb`, rgb) } };
}

const resizeKinds = { shortestSide: 'shortest_side', fit: 'fit', native: 'native' } as const;

function resizeOf(resize: Resize | undefined, field: string): Image {
  if (resize === undefined) return {};
  protocolName(`${field}.kind`, resizeKinds, resize.kind);
  switch (resize.kind) {
    case 'shortestSide':
      return { shortestSide: uint32Fields(field, { resize: resize.resize ?? 0, crop: resize.crop ?? 0 }) };
    case 'fit':
      return { fit: uint32Fields(field, { width: resize.width, height: resize.height }) };
    case 'native':
      return { native: {} };
  }
}

function cropOf(crop: CropRectangle | undefined, field: string): Image {
  if (crop === undefined) return {};
  const { top, left, height, width, flip = false } = crop;
  return { crop: { ...uint32Fields(field, { top, left, height, width }), flip: bool(`${field}.flip`, flip) } };
}

/**
 * The message of an image.
 * @param field name of the image in errors
 * @throws VicreglError `INVALID_ARGUMENT` for anything that is no image, and for a field whose value does not fit its type in the message.
 */
export function imageMessage(input: ImageInput, field: string): Image {
  if (input instanceof Uint8Array || isRaw(input)) return sourceOf(input, field);
  if (!has(input, PLACED) && !isEmpty(input)) throw notAnImage(input, field);
  return {
    ...sourceOf(input.pixels, `${field}.pixels`),
    ...resizeOf(input.resize, `${field}.resize`),
    ...cropOf(input.crop, `${field}.crop`),
  };
}
