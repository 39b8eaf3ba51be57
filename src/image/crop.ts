import { ImageError } from './imageError.js';
import { resample } from './resample.js';
import { planResampling } from './resamplePlan.js';
import { checkInputPixels, checkPipelinePixels, defaultOutputLimits, type OutputLimits } from './resize.js';
import type { AffineMap, Crop, PreparedImage, RgbImage, Size } from './types.js';

/** @throws ImageError `bad_dimensions` for a crop that is empty or reaches outside the image. */
export function checkCrop(image: Size, crop: Crop): void {
  const describe = `crop (top ${crop.top}, left ${crop.left}, height ${crop.height}, width ${crop.width})`;
  for (const side of ['top', 'left', 'height', 'width'] as const) {
    const min = side === 'top' || side === 'left' ? 0 : 1;
    if (!Number.isInteger(crop[side]) || crop[side] < min) {
      throw new ImageError('bad_dimensions', `${describe}: ${side} must be a whole number of at least ${min}`);
    }
  }
  if (crop.left + crop.width > image.width || crop.top + crop.height > image.height) {
    throw new ImageError(
      'bad_dimensions',
      `${describe} reaches outside the image of height ${image.height}, width ${image.width}; keep it inside ` +
        '(sizes are those after EXIF orientation)',
    );
  }
}

/**
 * The map from a network input back to the original image of its crop; scaleX is negative if it is flipped.
 * @param size of the network input in pixels
 */
export function cropToOriginal(crop: Crop, size: Size): AffineMap {
  const scaleX = crop.width / size.width;
  const scaleY = crop.height / size.height;
  return crop.flip
    ? { scaleX: -scaleX, scaleY, offsetX: crop.left + crop.width, offsetY: crop.top }
    : { scaleX, scaleY, offsetX: crop.left, offsetY: crop.top };
}

/**
 * Crops an original, resizes the crop (bicubic, see `resample`) and mirrors it if `crop.flip` is set: the geometry of a training
 * view, without its colour changes.
 * @param size of the result in pixels
 * @throws ImageError `bad_dimensions` for a crop outside the image, `too_large` over the limit.
 */
export async function cropImage(
  image: RgbImage,
  crop: Crop,
  size: Size,
  limits: OutputLimits = defaultOutputLimits,
): Promise<PreparedImage> {
  checkCrop(image, crop);
  for (const side of ['width', 'height'] as const) {
    if (!Number.isInteger(size[side]) || size[side] < 1) {
      throw new ImageError(
        'bad_dimensions',
        `crop output ${side} is ${size[side]}; it must be a whole number of pixels, at least 1`,
      );
    }
  }
  checkInputPixels(size.width, size.height, limits);
  const { left, top, width, height } = crop;
  const steps = { from: { left, top, width, height }, size, flip: crop.flip };
  checkPipelinePixels(planResampling(image, steps).stages, limits);
  return {
    image: await resample(image, steps),
    toOriginal: cropToOriginal(crop, size),
    original: { width: image.width, height: image.height },
  };
}
