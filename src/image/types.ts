/** Pictures and the geometry between network input and original pixels; shared by serving, matching and evaluation. */

/** In pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** 8-bit RGB pixels, row-major, interleaved: data has height * width * 3 bytes. */
export interface RgbImage {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array;
}

/** How a decoded image becomes network input. Sizes are in pixels. */
export type ResizePolicy =
  /** Shortest side to `resize` (aspect kept), then the central `crop` x `crop` square: the paper's evaluation protocol (256, 224). */
  | { readonly kind: 'shortestSide'; readonly resize: number; readonly crop: number }
  /** Stretched to exactly width x height. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number }
  /** The image's own size, each side resized to the nearest multiple of the model's stride (at least one stride). */
  | { readonly kind: 'native' };

/**
 * Maps a point of the network input to the original image, both in pixel-edge coordinates (x right, y down;
 * the centre of the first pixel is (0.5, 0.5)): original = (x * scaleX + offsetX, y * scaleY + offsetY).
 * scaleX is negative where the input is a horizontally flipped crop.
 */
export interface PixelMap {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** A prepared network input with its way back to the original image. */
export interface PreparedImage {
  readonly image: RgbImage;
  readonly toOriginal: PixelMap;
  /** Size in pixels of the original, after EXIF orientation. */
  readonly original: { readonly width: number; readonly height: number };
}

/** A crop rectangle of an original image in pixels, optionally mirrored left to right after cropping. */
export interface Crop {
  readonly top: number;
  readonly left: number;
  readonly height: number;
  readonly width: number;
  readonly flip: boolean;
}
