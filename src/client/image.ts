import type { Image } from '../proto/generated/vicregl/v1/Image.js';

/** Uncompressed pixels: width * height * 3 bytes, red, green, blue, rows from the top. */
export interface RawPixels {
  readonly width: number;
  readonly height: number;
  readonly rgb: Uint8Array;
}

/** The bytes of an image file (JPEG, PNG, WebP, AVIF, GIF, TIFF), or raw pixels. */
export type Pixels = Uint8Array | RawPixels;

/** How an image becomes network input; sizes in pixels, multiples of the model's stride. */
export type Resize =
  /** Shortest side to `resize`, then the central `crop` x `crop` square; the model's own sizes where left out. */
  | { readonly kind: 'shortestSide'; readonly resize?: number; readonly crop?: number }
  /** Stretched to exactly this size. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number }
  /** The image's own size, rounded to the stride. */
  | { readonly kind: 'native' };

/** A rectangle of the original image in pixels, mirrored left to right where `flip` says so. */
export interface CropRectangle {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly flip?: boolean;
}

/** An image with its crop and size. Pixels may be left out only in `match` by location. */
export interface PlacedImage {
  readonly pixels?: Pixels;
  readonly crop?: CropRectangle;
  /** Default: the model's shortest side and central square, or with a crop: all of it, stretched to the square. */
  readonly resize?: Resize;
}

export type ImageInput = Pixels | PlacedImage;

function sourceOf(pixels: Pixels | undefined): Image {
  if (pixels === undefined) return {};
  if (pixels instanceof Uint8Array) return { encoded: pixels };
  return { raw: { width: pixels.width, height: pixels.height, rgb: pixels.rgb } };
}

function resizeOf(resize: Resize | undefined): Image {
  switch (resize?.kind) {
    case 'shortestSide':
      return { shortestSide: { resize: resize.resize ?? 0, crop: resize.crop ?? 0 } };
    case 'fit':
      return { fit: { width: resize.width, height: resize.height } };
    case 'native':
      return { native: {} };
    default:
      return {};
  }
}

/** An image as the request's message. */
export function imageMessage(input: ImageInput): Image {
  if (input instanceof Uint8Array || 'rgb' in input) return sourceOf(input);
  return { ...sourceOf(input.pixels), ...resizeOf(input.resize), ...(input.crop && { crop: input.crop }) };
}
