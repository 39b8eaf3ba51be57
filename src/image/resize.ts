import { defaultImageLimits } from './decode.js';
import { ImageError } from './imageError.js';
import { resample } from './resample.js';
import { planResampling, type Stage } from './resamplePlan.js';
import type { AffineMap, PreparedImage, Rectangle, ResizePolicy, RgbImage, Size } from './types.js';

/** Limits of one network input. */
export interface OutputLimits {
  /** Maximum pixels (width * height) of a network input. */
  readonly inputPixels: number;
  /** The key of the configuration whose value `inputPixels` is, for errors. Default: inputPixels. */
  readonly pixelsKey?: string;
  /** Maximum total pixels that all steps write, including decoding. Absent: `enoughPipelinePixels`. */
  readonly pipelinePixels?: number;
  /** The allowed sizes of a network input. Absent: any. */
  readonly inputSizes?: readonly Size[];
}

/** 4 megapixels: 2048 x 2048, 4096 cells at stride 32. */
export const defaultOutputLimits: OutputLimits = { inputPixels: 2048 * 2048 };

/**
 * Pixels that are sufficient for every image and network input within their limits: an image is decoded and rotated, and later steps
 * write at most a few times the size of the input (see `planResampling`). An image that is cut into tiles is resized to as many pixels as an
 * image may have: it is shrunk, enlarged along both axes and mirrored.
 */
export function enoughPipelinePixels(imagePixels: number, inputPixels: number): number {
  return 2 * imagePixels + Math.max(16 * inputPixels, 5 * imagePixels);
}

/** The plan of a network input. */
interface PlannedInput {
  readonly size: Size;
  /** Size to which the whole image is resized. */
  readonly resized: Size;
  /** The part of it that is the input; absent if it is the whole image. */
  readonly keep?: Rectangle;
  /** From the network input to the image before it is resized. */
  readonly toOriginal: AffineMap;
}

/** The sizes that a policy gives for one image: the resized image, and the part of it that is kept. */
interface ResizePlan {
  readonly width: number;
  readonly height: number;
  readonly keep?: Rectangle;
}

/** Rounds half to even, as Python's round() in torchvision's CenterCrop. */
function roundHalfEven(value: number): number {
  const floor = Math.floor(value);
  if (value - floor !== 0.5) return Math.round(value);
  return floor % 2 === 0 ? floor : floor + 1;
}

function checkSide(name: string, value: number): void {
  if (Number.isInteger(value) && value >= 1) return;
  throw new ImageError('bad_dimensions', `${name} is ${value}; it must be a whole number of pixels, at least 1`);
}

/**
 * Checks that a side is a multiple of the model's stride, so that cells tile the input.
 * @throws ImageError `bad_dimensions` naming the nearest multiples.
 */
export function checkMultiple(name: string, value: number, stride: number, max = Number.POSITIVE_INFINITY): void {
  checkSide(name, value);
  if (value % stride === 0) return;
  const below = Math.floor(value / stride) * stride;
  const near = [below, below + stride].filter((side) => side >= stride && side <= max);
  throw new ImageError(
    'bad_dimensions',
    `${name} is ${value}, not a multiple of the model's stride ${stride}; use ${near.join(' or ')}`,
  );
}

/** @throws ImageError `too_large` if a network input has more pixels than the limit. */
export function checkInputPixels(width: number, height: number, limits: OutputLimits): void {
  if (width * height <= limits.inputPixels) return;
  throw new ImageError(
    'too_large',
    `network input of ${width} x ${height} = ${width * height} pixels exceeds the limit of ${limits.inputPixels} ` +
      `(${limits.pixelsKey ?? 'inputPixels'}); choose a smaller size`,
  );
}

/**
 * Checks the pixels that all steps of making a network input would write against the limit, before the first step.
 * @throws ImageError `too_large` over the limit.
 */
export function checkPipelinePixels(stages: readonly Stage[], limits: OutputLimits): void {
  const max = limits.pipelinePixels ?? enoughPipelinePixels(defaultImageLimits.imagePixels, limits.inputPixels);
  const pixels = stages.reduce((sum, stage) => sum + stage.pixels, 0);
  if (pixels <= max) return;
  const parts = stages.map((stage) => `${stage.name} ${stage.pixels}`).join(', ');
  throw new ImageError(
    'too_large',
    `making the network input would write ${pixels} pixels (${parts}), over the limit of ${max} (pipelinePixels); ` +
      'send a smaller image, or choose a smaller size',
  );
}

/** A size as written in errors and the configuration. */
export const sizeText = ({ width, height }: Size): string => `${width}x${height}`;

/** @throws ImageError `bad_dimensions` if the size of a network input is not allowed. */
export function checkInputSize(size: Size, { inputSizes }: OutputLimits): void {
  if (inputSizes === undefined) return;
  if (inputSizes.some(({ width, height }) => width === size.width && height === size.height)) return;
  throw new ImageError(
    'bad_dimensions',
    `network input of ${sizeText(size)} is not one of the allowed sizes (inputSizes); choose ${inputSizes.map(sizeText).join(' or ')} ` +
      'with the policy fit or the crop of shortestSide',
  );
}

/** Resize(resize) then CenterCrop(crop), with torchvision's rounding. */
function planShortestSide(
  image: Size,
  policy: ResizePolicy & { kind: 'shortestSide' },
  stride: number,
  limits: OutputLimits,
): ResizePlan {
  const { resize, crop } = policy;
  checkSide('resize', resize);
  if (resize < stride) {
    const message = `resize is ${resize}, less than one cell of the model (its stride is ${stride}); use at least ${stride}`;
    throw new ImageError('bad_dimensions', message);
  }
  checkSide('crop', crop);
  const maxCrop = Math.floor(resize / stride) * stride;
  if (crop > resize) {
    throw new ImageError('bad_dimensions', `crop ${crop} is larger than resize ${resize}; crop at most ${maxCrop}`);
  }
  checkMultiple('crop', crop, stride, maxCrop);
  checkInputPixels(crop, crop, limits);
  const portrait = image.width <= image.height;
  // torchvision: int(size * long / short), the product first.
  const long = Math.trunc((resize * Math.max(image.width, image.height)) / Math.min(image.width, image.height));
  const width = portrait ? resize : long;
  const height = portrait ? long : resize;
  const left = roundHalfEven((width - crop) / 2);
  const top = roundHalfEven((height - crop) / 2);
  return { width, height, keep: { left, top, width: crop, height: crop } };
}

function planFit(policy: ResizePolicy & { kind: 'fit' }, stride: number, limits: OutputLimits): ResizePlan {
  for (const side of ['width', 'height'] as const) {
    checkSide(side, policy[side]);
    // If the size itself is too large, no nearby multiple can be suggested.
    checkInputPixels(policy[side], stride, limits);
    checkMultiple(side, policy[side], stride);
  }
  checkInputPixels(policy.width, policy.height, limits);
  return { width: policy.width, height: policy.height };
}

function planNative(image: Size, stride: number, limits: OutputLimits): ResizePlan {
  const nearest = (side: number): number => Math.max(1, Math.round(side / stride)) * stride;
  const width = nearest(image.width);
  const height = nearest(image.height);
  checkInputPixels(width, height, limits);
  return { width, height };
}

function planPolicy(image: Size, policy: ResizePolicy, stride: number, limits: OutputLimits): ResizePlan {
  switch (policy.kind) {
    case 'shortestSide':
      return planShortestSide(image, policy, stride, limits);
    case 'fit':
      return planFit(policy, stride, limits);
    case 'native':
      return planNative(image, stride, limits);
  }
}

function plan(image: Size, policy: ResizePolicy, stride: number, limits: OutputLimits): ResizePlan {
  const planned = planPolicy(image, policy, stride, limits);
  checkInputSize(planned.keep ?? planned, limits);
  return planned;
}

/**
 * Checks what a policy requires of every image, before the first one is read.
 * @returns the size of the network input; undefined for `native`, whose size is that of the image
 * @throws ImageError as `planInput` does for a policy that no image fits
 */
export function checkPolicy(policy: ResizePolicy, stride: number, limits: OutputLimits): Size | undefined {
  if (policy.kind === 'native') return undefined;
  // The size of the image changes only how much of it is kept.
  const planned = plan({ width: 1, height: 1 }, policy, stride, limits);
  return planned.keep ?? { width: planned.width, height: planned.height };
}

/** The input of a plan, and the map back to the original. */
function plannedInput(image: Size, { width, height, keep }: ResizePlan): PlannedInput {
  const scaleX = image.width / width;
  const scaleY = image.height / height;
  return {
    size: keep ?? { width, height },
    resized: { width, height },
    ...(keep && { keep }),
    toOriginal: { scaleX, scaleY, offsetX: (keep?.left ?? 0) * scaleX, offsetY: (keep?.top ?? 0) * scaleY },
  };
}

/**
 * The size and geometry that `prepareImage` gives, from the image's size alone.
 * @param stride input pixels from one cell to the next
 * @throws ImageError `bad_dimensions` for a policy that does not fit or a size that is not allowed, `too_large` over the limit.
 */
export function planInput(
  image: Size,
  policy: ResizePolicy,
  stride: number,
  limits: OutputLimits = defaultOutputLimits,
): PlannedInput {
  return plannedInput(image, plan(image, policy, stride, limits));
}

/**
 * Resizes an image to a network input by a policy, and keeps the map back to the original.
 *
 * Bicubic, antialiased (see `resample`). `shortestSide` rounds as torchvision's Resize and CenterCrop do: the long side
 * is int(resize * long / short), the crop starts at round((side - crop) / 2), half to even. `fit` sizes and the crop
 * must be multiples of the stride; `native` rounds each side to the nearest one.
 * @param stride input pixels from one cell to the next
 * @throws ImageError `bad_dimensions` for a policy that does not fit or a size that is not allowed, `too_large` over a limit.
 */
export async function prepareImage(
  image: RgbImage,
  policy: ResizePolicy,
  stride: number,
  limits: OutputLimits = defaultOutputLimits,
): Promise<PreparedImage> {
  const { resized, keep, toOriginal } = planInput(image, policy, stride, limits);
  const unchanged = resized.width === image.width && resized.height === image.height && keep === undefined;
  const steps = { size: resized, ...(keep && { keep }) };
  if (!unchanged) checkPipelinePixels(planResampling(image, steps).stages, limits);
  return {
    image: unchanged ? image : await resample(image, steps),
    toOriginal,
    original: { width: image.width, height: image.height },
  };
}
