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

/** A picture as it was sent: a file, or 8-bit RGB pixels [height, width, 3]. */
export type SentPicture = { readonly encoded: Uint8Array } | { readonly raw: RgbImage };

/** What becomes of a picture on its way to the network. */
export interface WantedInput {
  /** Part of the upright picture to which the policy is applied. Absent: all of it. */
  readonly crop?: Crop;
  readonly policy: ResizePolicy;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
  readonly limits: { readonly image: ImageLimits; readonly output: OutputLimits };
}

/**
 * JPEG's own reduction takes part only in pictures whose sides it divides: of others it leaves the last pixels out or
 * repeats them, which would move everything by up to half a pixel of the result.
 */
const WHOLE_BLOCKS = 8;

/** The way from a picture of a size to the input: what is resampled, and the map back. */
function planSteps(original: Size, { crop, policy, stride, limits }: WantedInput) {
  if (crop !== undefined) checkCrop(original, crop);
  const planned = planInput(crop ?? original, policy, stride, limits.output);
  const { resized, keep } = planned;
  const unchanged =
    crop === undefined && keep === undefined && resized.width === original.width && resized.height === original.height;
  // The policy is applied to the mirrored crop, and mirroring comes last.
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

/** What libvips writes before anything is resampled. */
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
  const divides = size.width % WHOLE_BLOCKS === 0 && size.height % WHOLE_BLOCKS === 0;
  // What is cut before it is resized is decoded at its full size.
  if (!divides) pipeline = pipeline.extract({ left: 0, top: 0, width: size.width, height: size.height });
  pipeline = pipeline.resize(resized.width, resized.height, { fit: 'fill', kernel: 'cubic', fastShrinkOnLoad: false });
  const image = await decodedPixels(keep === undefined ? pipeline : pipeline.extract(keep), file.format, limits.image);
  return { image, ...place };
}

/**
 * Makes a network input of a picture: decodes it, cuts the crop out, mirrors it where that says so, and resizes it by the
 * policy (bicubic, see `resample`). What all of it would write is planned and held against the limits first.
 *
 * Plain JPEG files that get smaller take one step in place of two, with the same pixels; where one becomes less than half as
 * large, and its sides are multiples of 8, the decoder itself leaves out frequencies that the resizing would (pixels differ by
 * 0.3 to 0.6 of 255 in the mean).
 * @throws ImageError `unsupported_format` or `corrupt` for the file, `bad_dimensions` for a crop outside the picture or a policy
 *   that does not fit, `too_large` over a limit, of time too; the signal's reason at the first step after it is aborted.
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
