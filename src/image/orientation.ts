import sharp from 'sharp';
import { checkFile, defaultImageLimits } from './decode.js';
import { restrictLoaders } from './loaders.js';
import type { Size } from './types.js';

/**
 * How the pixels of an image file lie in relation to the upright image: 1 to 8, as EXIF numbers them. 1 is upright; 5 to 8 swap
 * width and height.
 */
export type Orientation = 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8;

/** The size of an image file, and how its pixels are stored. */
export interface StoredImage {
  /** Size of the upright image, after EXIF orientation. */
  readonly upright: Size;
  readonly orientation: Orientation;
}

/**
 * Reads size and orientation from the header of an image file.
 * @throws ImageError `unsupported_format`, `too_large` or `corrupt`, as the decoder does.
 */
export async function readStoredImage(bytes: Uint8Array): Promise<StoredImage> {
  restrictLoaders();
  const { size: upright, reoriented } = await checkFile(bytes, defaultImageLimits);
  if (!reoriented) return { upright, orientation: 1 };
  const { orientation = 1 } = await sharp(bytes, { limitInputPixels: false }).metadata();
  return { upright, orientation: (orientation >= 1 && orientation <= 8 ? orientation : 1) as Orientation };
}

/** The size of the pixels as they are stored. */
export function storedSize({ upright: { width, height }, orientation }: StoredImage): Size {
  return orientation >= 5 ? { width: height, height: width } : { width, height };
}

/**
 * The map from a point of the upright image to the same point of the stored pixels, in edge coordinates (the centre of the first pixel
 * is (0.5, 0.5)): row-major 3 x 3, for homogeneous points (x, y, 1).
 */
export function uprightToStored(image: StoredImage): readonly number[] {
  const { width, height } = storedSize(image);
  switch (image.orientation) {
    case 1:
      return [1, 0, 0, 0, 1, 0, 0, 0, 1];
    case 2:
      return [-1, 0, width, 0, 1, 0, 0, 0, 1];
    case 3:
      return [-1, 0, width, 0, -1, height, 0, 0, 1];
    case 4:
      return [1, 0, 0, 0, -1, height, 0, 0, 1];
    case 5:
      return [0, 1, 0, 1, 0, 0, 0, 0, 1];
    case 6:
      return [0, 1, 0, -1, 0, height, 0, 0, 1];
    case 7:
      return [0, -1, width, -1, 0, height, 0, 0, 1];
    case 8:
      return [0, -1, width, 1, 0, 0, 0, 0, 1];
  }
}
