import { checkCrop, cropToOriginal } from './crop.js';
import {
  type CheckedFile,
  checkFile,
  decodeChecked,
  decodedPixels,
  decoding,
  type ImageLimits,
  rawImage,
} from './decode.js';
import { composeMaps } from './geometry.js';
import { resample } from './resample.js';
import { planResampling, type Resampling, type Stage } from './resamplePlan.js';
import { checkPipelinePixels, type OutputLimits, planInput } from './resize.js';
import type { AffineMap, Crop, PreparedImage, ResizePolicy, RgbImage, Size } from './types.js';
import { startClock, type WorkClock } from './workClock.js';

/** An image as it was sent: a file, or 8-bit RGB pixels [height, width, 3]. */
export type SentPicture = { readonly encoded: Uint8Array } | { readonly raw: RgbImage };

/** How an image is converted to a network input. */
export interface WantedInput {
  /** Part of the upright image to which the policy is applied. Absent: the whole image. */
  readonly crop?: Crop;
  readonly policy: ResizePolicy;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
  readonly limits: { readonly image: ImageLimits; readonly output: OutputLimits };
}

/**
 * The reduction of the JPEG decoder is used only for images whose sides it divides. Otherwise it omits or repeats the last pixels,
 * which would shift everything by up to half a pixel of the result.
 */
const WHOLE_BLOCKS = 8;

/** The plan from an image of a given size to the input: the resampling, and the map back. */
function planSteps(original: Size, { crop, policy, stride, limits }: WantedInput) {
  if (crop !== undefined) checkCrop(original, crop);
  const planned = planInput(crop ?? original, policy, stride, limits.output);
  const { resized, keep } = planned;
  const unchanged =
    crop === undefined && keep === undefined && resized.width === original.width && resized.height === original.height;
  // The policy refers to the mirrored crop, although mirroring is the last step.
  const kept = keep && crop?.flip ? { ...keep, left: resized.width - keep.left - keep.width } : keep;
  const steps: Resampling = {
    ...(crop && { from: crop, flip: crop.flip }),
    size: resized,
    ...(kept && { keep: kept }),
  };
  const toOriginal: AffineMap =
    crop === undefined ? planned.toOriginal : composeMaps(cropToOriginal(crop, crop), planned.toOriginal);
  return { steps, unchanged, toOriginal, original: { width: original.width, height: original.height } };
}

/** The pixels that libvips writes before resampling. */
function decodeStages({ size, reoriented }: CheckedFile): Stage[] {
  const pixels = size.width * size.height;
  return [{ name: 'decode', pixels }, ...(reoriented ? [{ name: 'orient', pixels } as const] : [])];
}

async function decodeSteps(encoded: Uint8Array, wanted: WantedInput, clock: WorkClock): Promise<PreparedImage> {
  const { limits } = wanted;
  const file = await checkFile(encoded, limits.image);
  const { size } = file;
  const { steps, unchanged, ...place } = planSteps(size, wanted);
  const plan = planResampling(size, steps);
  checkPipelinePixels([...decodeStages(file), ...(unchanged ? [] : plan.stages)], limits.output);
  const { size: resized, keep } = steps;
  if (!file.plainJpeg || wanted.crop !== undefined || resized.width > size.width || resized.height > size.height) {
    const image = await decodeChecked(file, limits.image);
    clock.check();
    return { image: unchanged ? image : await resample(image, steps, clock), ...place };
  }
  let pipeline = decoding(file, limits.image);
  // A resize that changes nothing costs a tenth of decoding a small file.
  if (resized.width !== size.width || resized.height !== size.height) {
    const divides = size.width % WHOLE_BLOCKS === 0 && size.height % WHOLE_BLOCKS === 0;
    // A crop before the resize requires decoding at full size.
    if (!divides) pipeline = pipeline.extract({ left: 0, top: 0, width: size.width, height: size.height });
    pipeline = pipeline.resize(resized.width, resized.height, {
      fit: 'fill',
      kernel: 'cubic',
      fastShrinkOnLoad: false,
    });
  }
  const image = await decodedPixels(keep === undefined ? pipeline : pipeline.extract(keep), file.format, limits.image);
  return { image, ...place };
}

/**
 * Converts an image to a network input: decodes it, crops it, mirrors it if requested, and resizes it by the policy (bicubic, see
 * `resample`). All steps are planned first, and the pixels that they write are checked against the limits.
 *
 * Plain JPEG files that are reduced need one step instead of two, with the same pixels. If a file becomes less than half as large and
 * its sides are multiples of 8, the decoder itself reduces it (pixels differ by 0.3 to 0.6 of 255 on average).
 * @throws ImageError `unsupported_format` or `corrupt` for the file, `bad_dimensions` for a crop outside the image or a policy
 *   that does not fit, `too_large` over a limit, including time; the signal's reason at the first step after it is aborted.
 */
export async function decodeInput(
  picture: SentPicture,
  wanted: WantedInput,
  signal?: AbortSignal,
): Promise<PreparedImage> {
  const clock = startClock(wanted.limits.image.decodeSeconds, signal);
  clock.check();
  if ('encoded' in picture) return decodeSteps(picture.encoded, wanted, clock);
  const { width, height, data } = picture.raw;
  const image = rawImage(data, width, height, wanted.limits.image);
  const { steps, unchanged, ...place } = planSteps(image, wanted);
  if (unchanged) return { image, ...place };
  checkPipelinePixels(planResampling(image, steps).stages, wanted.limits.output);
  return { image: await resample(image, steps, clock), ...place };
}
