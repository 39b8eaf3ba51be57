import { cropImage } from '../image/crop.js';
import type { Crop, RgbImage } from '../image/types.js';
import type { RandomStream } from '../tensor/random.js';
import { type AugmentationParameters, type AugmentationPolicy, augment, drawAugmentation } from './augment.js';
import { randomResizedCrop } from './crop.js';

/** Parameters of a view, the same for all images. */
export interface ViewSpec {
  /** Side of the view in pixels. */
  readonly size: number;
  /** Number of cells of the feature map along one side of the view (its size divided by the stride). */
  readonly cells: number;
  /** Minimum and maximum area of the crop, as a fraction of the original's area. */
  readonly scale: readonly [number, number];
  /** Minimum and maximum aspect ratio (width / height) of the crop; 3/4..4/3 in the paper. */
  readonly aspect: readonly [number, number];
  /** Policy of colour and blur augmentations and of the flip. */
  readonly augmentation: AugmentationPolicy;
}

/** The drawn parameters of one view of one image. */
export interface ViewParameters {
  /** Rectangle in the original, in pixels, and whether it is flipped horizontally after cropping. */
  readonly crop: Crop;
  readonly augmentation: AugmentationParameters;
}

/**
 * Draws the parameters of one view of an image.
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
 * Renders a view of a decoded image: crop, bicubic resize to a square, flip, then colour and blur augmentations.
 * @param image the complete original (see image/decode.ts for EXIF orientation, alpha, greyscale and the pixel limit)
 * @param size side of the view in pixels
 * @returns [size, size, 3], interleaved 8-bit RGB
 */
export async function renderView(image: RgbImage, drawn: ViewParameters, size: number): Promise<Uint8Array> {
  const { image: view } = await cropImage(image, drawn.crop, { width: size, height: size });
  augment(view.data, size, size, drawn.augmentation);
  return view.data;
}
