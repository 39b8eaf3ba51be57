import { cropImage } from '../image/crop.js';
import type { Crop, RgbImage } from '../image/types.js';
import type { RandomStream } from '../tensor/random.js';
import { type AugmentationParameters, type AugmentationPolicy, augment, drawAugmentation } from './augment.js';
import { randomResizedCrop } from './crop.js';

/** How one view of every image is made. */
export interface ViewSpec {
  /** Side of the view in pixels. */
  readonly size: number;
  /** Cells of the network's map along one side of the view (its size over the stride). */
  readonly cells: number;
  /** Least and greatest share of the original's area. */
  readonly scale: readonly [number, number];
  /** Least and greatest width / height of the crop; the method's is 3/4..4/3. */
  readonly aspect: readonly [number, number];
  /** What may happen to it besides. */
  readonly augmentation: AugmentationPolicy;
}

/** All that was drawn for one view of one image. */
export interface ViewParameters {
  /** Rectangle in the original, and whether it is mirrored after cutting. */
  readonly crop: Crop;
  readonly augmentation: AugmentationParameters;
}

/**
 * Draws one view of an image.
 * @param original size in pixels after EXIF orientation
 */
export function drawView(
  random: RandomStream,
  original: { readonly width: number; readonly height: number },
  spec: ViewSpec,
): ViewParameters {
  const rectangle = randomResizedCrop(random, original, spec);
  const flip = random.bernoulli(spec.augmentation.flipProbability);
  return { crop: { ...rectangle, flip }, augmentation: drawAugmentation(random, spec.augmentation) };
}

/**
 * Makes a view from a decoded image: crop, bicubic resize to a square, mirror, then colour and sharpness.
 * @param image the whole original (see image/decode.ts for EXIF orientation, alpha, greyscale and the pixel limit)
 * @returns [size, size, 3], interleaved 8-bit RGB
 */
export async function renderView(image: RgbImage, drawn: ViewParameters, size: number): Promise<Uint8Array> {
  const { image: view } = await cropImage(image, drawn.crop, { width: size, height: size });
  augment(view.data, size, size, drawn.augmentation);
  return view.data;
}
