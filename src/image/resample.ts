import sharp, { type Sharp } from 'sharp';
import { enlarge } from './enlarge.js';
import { planResampling, type Resampling, type ResamplingPlan } from './resamplePlan.js';
import type { Rectangle, RgbImage } from './types.js';
import { isTimeout, type WorkClock } from './workClock.js';

async function pixels(pipeline: Sharp): Promise<RgbImage> {
  const { data, info } = await pipeline.raw().toBuffer({ resolveWithObject: true });
  return {
    width: info.width,
    height: info.height,
    data: new Uint8Array(data.buffer, data.byteOffset, data.byteLength),
  };
}

/** Copies a part of an image. */
export function cut(image: RgbImage, { left, top, width, height }: Rectangle): RgbImage {
  const data = new Uint8Array(width * height * 3);
  for (let row = 0; row < height; row++) {
    const start = ((top + row) * image.width + left) * 3;
    data.set(image.data.subarray(start, start + width * 3), row * width * 3);
  }
  return { width, height, data };
}

function mirrored({ width, height, data }: RgbImage): RgbImage {
  const result = new Uint8Array(data.length);
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      const from = (row * width + column) * 3;
      const to = (row * width + (width - 1 - column)) * 3;
      result[to] = data[from]!;
      result[to + 1] = data[from + 1]!;
      result[to + 2] = data[from + 2]!;
    }
  }
  return { width, height, data: result };
}

/** Shrinks with libvips, on its threads. It reads and computes only what the window needs. */
async function shrink(
  { width, height, data }: RgbImage,
  { x, y }: ResamplingPlan,
  clock?: WorkClock,
): Promise<RgbImage> {
  return pixels(
    sharp(data, { raw: { width, height, channels: 3 }, limitInputPixels: false })
      .timeout({ seconds: clock?.secondsLeft() ?? 0 })
      .extract({ left: x.read.start, top: y.read.start, width: x.read.length, height: y.read.length })
      .resize(x.shrunk, y.shrunk, { fit: 'fill', kernel: 'cubic' })
      .extract({ left: x.window.start, top: y.window.start, width: x.window.length, height: y.window.length }),
  ).catch((cause: unknown) => {
    throw clock !== undefined && isTimeout(cause) ? clock.late(cause) : cause;
  });
}

/**
 * Resizes with the Catmull-Rom cubic kernel (a = -0.5), widened when shrinking, as torchvision's antialiased bicubic does, with
 * the same alignment (pixel edges to pixel edges). The results are not bit-identical: libvips shrinks by large factors in two
 * passes and rounds its coefficients, and it repeats the border, which torchvision omits. Pixels outside `from` do not
 * affect the result. Work and memory are bounded by the kept part and by the source (see `planResampling`).
 * @param clock its time limit
 */
export async function resample(image: RgbImage, steps: Resampling, clock?: WorkClock): Promise<RgbImage> {
  const plan = planResampling(image, steps);
  const has = (name: (typeof plan.stages)[number]['name']): boolean => plan.stages.some((stage) => stage.name === name);
  const { x, y, kept } = plan;
  const inSource = { left: x.read.start, top: y.read.start };
  const shrunk = has('shrink') ? await shrink(image, plan, clock) : image;
  const at = has('shrink') ? { left: 0, top: 0 } : inSource;
  let result = shrunk;
  if (has('enlarge rows')) result = await enlarge(shrunk, at, plan, clock);
  else if (has('cut')) result = cut(image, { ...inSource, ...kept });
  return steps.flip === true ? mirrored(result) : result;
}
