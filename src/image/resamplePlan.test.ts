import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { resample } from './resample.js';
import { planResampling, type Resampling } from './resamplePlan.js';
import { checkPipelinePixels, enoughPipelinePixels, type OutputLimits, planInput } from './resize.js';
import type { ResizePolicy, RgbImage, Size } from './types.js';

/** Sides of images, with small ones and powers of two more often. */
const side = (max: number) => fc.oneof(fc.integer({ min: 1, max: Math.min(8, max) }), fc.integer({ min: 1, max }));

const size = (max: number): fc.Arbitrary<Size> => fc.record({ width: side(max), height: side(max) });

/** A range within this length. */
const part = (length: number): fc.Arbitrary<{ start: number; length: number }> =>
  fc
    .integer({ min: 0, max: length - 1 })
    .chain((start) => fc.record({ start: fc.constant(start), length: fc.integer({ min: 1, max: length - start }) }));

/** A rectangle within a size. */
const within = ({ width, height }: Size) =>
  fc
    .tuple(part(width), part(height))
    .map(([x, y]) => ({ left: x.start, top: y.start, width: x.length, height: y.length }));

/** Every policy; stride 1, so that only the limits reject one. */
const policy: fc.Arbitrary<ResizePolicy> = fc.oneof(
  side(8192).chain((crop) =>
    fc.record({
      kind: fc.constant('shortestSide' as const),
      resize: fc.oneof(fc.integer({ min: crop, max: 8192 }), fc.integer({ min: crop, max: 2 ** 32 - 1 })),
      crop: fc.constant(crop),
    }),
  ),
  size(8192).map((fit) => ({ kind: 'fit' as const, ...fit })),
  fc.constant({ kind: 'native' as const }),
);

const total = (stages: readonly { readonly pixels: number }[]): number =>
  stages.reduce((sum, { pixels }) => sum + pixels, 0);

/** No limit on the output: only its cost is checked. */
const limits: OutputLimits = { inputPixels: Number.MAX_SAFE_INTEGER };

describe('the plan of a resampling', () => {
  it('writes at most a small multiple of the kept pixels, for every shape, policy, crop and flip', () => {
    const cases = size(20_000).chain((image) =>
      fc.record({
        image: fc.constant(image),
        crop: fc.oneof(fc.constant(undefined), within(image)),
        policy,
        flip: fc.boolean(),
      }),
    );
    fc.assert(
      fc.property(cases, ({ image, crop, policy: chosen, flip }) => {
        const { size: kept, resized, keep } = planInput(crop ?? image, chosen, 1, limits);
        const plan = planResampling(image, {
          ...(crop && { from: crop }),
          size: resized,
          ...(keep && { keep }),
          flip,
        });
        const output = kept.width * kept.height;
        assert.deepEqual(plan.kept, { width: kept.width, height: kept.height });
        for (const stage of plan.stages) {
          assert.ok(stage.pixels <= 4 * output, `${stage.name} writes ${stage.pixels} for ${output}`);
        }
        assert.ok(total(plan.stages) <= 10 * output, `${total(plan.stages)} for ${output}`);
        // Sides of a usual network input: little more than the result itself, once for each step.
        if (Math.min(kept.width, kept.height) >= 32) assert.ok(total(plan.stages) <= 4.3 * output);
        // Reads are within the source, and an enlarged axis reads at most what it writes plus the kernel's support.
        for (const [axis, length, written] of [
          [plan.x, image.width, kept.width],
          [plan.y, image.height, kept.height],
        ] as const) {
          assert.ok(axis.read.start >= 0 && axis.read.start + axis.read.length <= length);
          if (axis.taps) assert.ok(axis.read.length <= written + 3);
          if (axis.taps) assert.ok(axis.taps.indices.every((tap) => tap >= 0 && tap < axis.window.length));
        }
      }),
      { numRuns: 500 },
    );
  });

  it('stays below the default limit for every image and input within their limits', () => {
    const allowed = { imagePixels: 50_000_000, inputPixels: 2 ** 22 };
    fc.assert(
      fc.property(size(20_000), size(2048), fc.boolean(), (image, kept, rotated) => {
        fc.pre(image.width * image.height <= allowed.imagePixels);
        const decoded = image.width * image.height * (rotated ? 2 : 1);
        const { stages } = planResampling(image, { size: kept, flip: true });
        assert.ok(decoded + total(stages) <= enoughPipelinePixels(allowed.imagePixels, allowed.inputPixels));
      }),
    );
  });

  it('stays below the default limit for images that are cut into tiles, which have as many pixels as an image may', () => {
    const imagePixels = 50_000_000;
    const side = fc.integer({ min: 32, max: 20_000 });
    const sizes = fc.record({ width: side, height: side }).filter(({ width, height }) => width * height <= imagePixels);
    fc.assert(
      fc.property(sizes, sizes, fc.boolean(), (image, kept, rotated) => {
        const decoded = image.width * image.height * (rotated ? 2 : 1);
        const { stages } = planResampling(image, { size: kept, flip: true });
        assert.ok(decoded + total(stages) <= enoughPipelinePixels(imagePixels, 2 ** 22));
      }),
      { numRuns: 500 },
    );
  });
});

/** Catmull-Rom's kernel. */
function kernel(x: number): number {
  const t = Math.abs(x);
  if (t < 1) return 1 + t * t * (1.5 * t - 2.5);
  return t < 2 ? 2 + t * (-4 + t * (2.5 - 0.5 * t)) : 0;
}

/** All of `from`, enlarged by definition in float64; for axes that are not reduced. */
function enlargedByDefinition(image: RgbImage, { from, size: to }: Resampling): RgbImage {
  const part = from ?? { left: 0, top: 0, width: image.width, height: image.height };
  const data = new Uint8ClampedArray(to.width * to.height * 3);
  const clamp = (value: number, length: number): number => Math.min(Math.max(value, 0), length - 1);
  for (let at = 0; at < data.length; at++) {
    const [c, col, row] = [at % 3, Math.floor(at / 3) % to.width, Math.floor(at / 3 / to.width)];
    const x = ((col + 0.5) * part.width) / to.width - 0.5;
    const y = ((row + 0.5) * part.height) / to.height - 0.5;
    let sum = 0;
    for (let i = Math.floor(y) - 1; i <= Math.floor(y) + 2; i++) {
      for (let j = Math.floor(x) - 1; j <= Math.floor(x) + 2; j++) {
        const pixel = (part.top + clamp(i, part.height)) * image.width + part.left + clamp(j, part.width);
        sum += kernel(y - i) * kernel(x - j) * image.data[pixel * 3 + c]!;
      }
    }
    data[at] = sum;
  }
  return { ...to, data: new Uint8Array(data.buffer) };
}

/** The kept part of a resized image, mirrored on request. */
function cutOut(image: RgbImage, { keep, flip }: Resampling): RgbImage {
  const { left, top, width, height } = keep ?? { left: 0, top: 0, width: image.width, height: image.height };
  const data = Uint8Array.from({ length: width * height * 3 }, (_, at) => {
    const [c, col, row] = [at % 3, Math.floor(at / 3) % width, Math.floor(at / 3 / width)];
    return image.data[((top + row) * image.width + left + (flip === true ? width - 1 - col : col)) * 3 + c]!;
  });
  return { width, height, data };
}

function maxDifference(a: RgbImage, b: RgbImage): number {
  assert.deepEqual([a.width, a.height, a.data.length], [b.width, b.height, b.data.length]);
  return a.data.reduce((max, value, i) => Math.max(max, Math.abs(value - b.data[i]!)), 0);
}

/** Images of noise, for which no other interpolation gives the same result by chance. */
const picture = size(24).chain(({ width, height }) =>
  fc
    .uint8Array({ minLength: width * height * 3, maxLength: width * height * 3 })
    .map((data): RgbImage => ({ width, height, data })),
);

/** Any resampling of an image. */
const steps = (image: RgbImage, minSide: (side: number) => number): fc.Arbitrary<Resampling> =>
  within(image).chain((from) =>
    fc
      .record({
        width: fc.integer({ min: minSide(from.width), max: 60 }),
        height: fc.integer({ min: minSide(from.height), max: 60 }),
      })
      .chain((to) =>
        fc.record({ from: fc.constant(from), size: fc.constant(to), keep: within(to), flip: fc.boolean() }),
      ),
  );

describe('resample', () => {
  it('equals the window of the complete enlargement by definition, to within a level', async () => {
    const cases = picture.chain((image) =>
      fc.tuple(
        fc.constant(image),
        steps(image, (length) => length),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([image, way]) => {
        const naive = cutOut(enlargedByDefinition(image, way), way);
        assert.ok(maxDifference(await resample(image, way), naive) <= 1);
      }),
      { numRuns: 150 },
    );
  });

  it('equals the window of the complete resize, to within a level, also if an axis is reduced', async () => {
    const cases = picture.chain((image) =>
      fc.tuple(
        fc.constant(image),
        steps(image, () => 1),
      ),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ([image, way]) => {
        const whole = await resample(image, { ...(way.from && { from: way.from }), size: way.size });
        assert.ok(maxDifference(await resample(image, way), cutOut(whole, way)) <= 1);
      }),
      { numRuns: 150 },
    );
  });

  it('shows the content of the window at any scale', async () => {
    const image: RgbImage = { width: 2, height: 1, data: Uint8Array.of(10, 20, 30, 200, 210, 220) };
    const whole = { width: 2 ** 33, height: 2 ** 32 };
    // Around the centres of its two pixels.
    for (const [left, colour] of [
      [2 ** 31 - 2, [10, 20, 30]],
      [3 * 2 ** 31 - 2, [200, 210, 220]],
    ] as const) {
      const { data } = await resample(image, { size: whole, keep: { left, top: 2 ** 31, width: 4, height: 4 } });
      assert.deepEqual([...data], Array.from({ length: 16 }, () => colour).flat());
    }
  });
});

describe('the limit of written pixels', () => {
  it('is an error that names the limit, the steps and the way out', () => {
    const { stages } = planResampling({ width: 10, height: 500 }, { size: { width: 100, height: 100 } });
    assert.throws(() => checkPipelinePixels(stages, { inputPixels: 1e6, pipelinePixels: 10_999 }), {
      name: 'ImageError',
      code: 'too_large',
      message:
        /would write 21000 pixels \(shrink 1000, enlarge columns 10000, enlarge rows 10000\), over the limit of 10999 \(pipelinePixels\); send/,
    });
    checkPipelinePixels(stages, { inputPixels: 1e6, pipelinePixels: 21_000 });
  });
});
