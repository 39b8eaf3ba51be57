/** Types of images, of parts of them, and of the maps between network input and original. All lengths are in pixels. */

/** Width and height in whole pixels. */
export interface Size {
  readonly width: number;
  readonly height: number;
}

/** Part of an image in whole pixels. */
export interface Rectangle extends Size {
  readonly left: number;
  readonly top: number;
}

/** Part of an image, optionally mirrored left to right after it is cut out. */
export interface Crop extends Rectangle {
  readonly flip: boolean;
}

/** A rectangle by its edges, which may lie between pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** 8-bit RGB pixels [height, width, 3], row-major. */
export interface RgbImage extends Size {
  readonly data: Uint8Array;
}

/** How a decoded image becomes network input. */
export type ResizePolicy =
  /** Shortest side to `resize` (aspect kept), then the central `crop` x `crop` square: the paper's evaluation protocol (256, 224). */
  | { readonly kind: 'shortestSide'; readonly resize: number; readonly crop: number }
  /** Stretched to exactly width x height. */
  | { readonly kind: 'fit'; readonly width: number; readonly height: number }
  /** The image's own size, each side resized to the nearest multiple of the model's stride (at least one stride). */
  | { readonly kind: 'native' };

/**
 * Scales and shifts each axis: (x, y) -> (x * scaleX + offsetX, y * scaleY + offsetY). Points are in edge coordinates: x to
 * the right, y down, the centre of the first pixel (or cell) at (0.5, 0.5). scaleX is negative if the map mirrors left to
 * right.
 */
export interface AffineMap {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** A prepared network input and its position in the original image. */
export interface PreparedImage {
  readonly image: RgbImage;
  /** From the network input to the original. */
  readonly toOriginal: AffineMap;
  /** Size of the original after EXIF orientation. */
  readonly original: Size;
}
