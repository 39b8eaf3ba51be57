import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { cropImage } from './crop.js';
import { mapPoint } from './geometry.js';
import { prepareImage } from './resize.js';
import type { PreparedImage, ResizePolicy, RgbImage } from './types.js';

function blank(width: number, height: number): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3) };
}

/** A soft white spot on black. */
function spot(width: number, height: number, x: number, y: number, sigma: number): RgbImage {
  const image = blank(width, height);
  for (let row = 0; row < height; row++) {
    for (let col = 0; col < width; col++) {
      const value = 255 * Math.exp(-((col + 0.5 - x) ** 2 + (row + 0.5 - y) ** 2) / (2 * sigma ** 2));
      image.data.fill(value, (row * width + col) * 3, (row * width + col + 1) * 3);
    }
  }
  return image;
}

/** Centre of brightness, mapped back to the original. */
function foundAt({ image, toOriginal }: PreparedImage): { x: number; y: number } {
  let [mass, x, y] = [0, 0, 0];
  for (let i = 0; i < image.width * image.height; i++) {
    const value = image.data[i * 3]!;
    mass += value;
    x += value * ((i % image.width) + 0.5);
    y += value * (Math.floor(i / image.width) + 0.5);
  }
  return mapPoint(toOriginal, x / mass, y / mass);
}

function assertNear(found: { x: number; y: number }, x: number, y: number, tolerance: number): void {
  const error = Math.hypot(found.x - x, found.y - y);
  assert.ok(error < tolerance, `found at (${found.x}, ${found.y}), ${error} px from (${x}, ${y})`);
}

const badDimensions = (message: RegExp) => ({ name: 'ImageError', code: 'bad_dimensions', message });

describe('prepareImage', () => {
  it('shortestSide rounds as torchvision does: int(256 * 500 / 333) = 384, crop from round((384 - 224) / 2)', async () => {
    const policy = { kind: 'shortestSide', resize: 256, crop: 224 } as const;
    const landscape = await prepareImage(blank(500, 333), policy, 32);
    assert.deepEqual([landscape.image.width, landscape.image.height, landscape.image.data.length], [224, 224, 150528]);
    assert.deepEqual(landscape.original, { width: 500, height: 333 });
    assert.deepEqual(landscape.toOriginal, {
      scaleX: 500 / 384,
      scaleY: 333 / 256,
      offsetX: 80 * (500 / 384),
      offsetY: 16 * (333 / 256),
    });
    // Portrait, and a margin of 15.5 on a side: half to even gives 16 (torchvision's int(round(15.5))).
    const portrait = await prepareImage(blank(256, 287), { kind: 'shortestSide', resize: 256, crop: 256 }, 32);
    assert.deepEqual(portrait.toOriginal, { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 16 });
    const even = await prepareImage(blank(256, 289), { kind: 'shortestSide', resize: 256, crop: 256 }, 32);
    assert.equal(even.toOriginal.offsetY, 16);
  });

  it('native rounds each side to the nearest multiple of the stride, and at least to one stride', async () => {
    for (const [width, height, expected] of [
      [100, 47, [96, 32]],
      [5, 48, [32, 64]],
      [64, 32, [64, 32]],
    ] as const) {
      const { image } = await prepareImage(blank(width, height), { kind: 'native' }, 32);
      assert.deepEqual([image.width, image.height], expected, `${width} x ${height}`);
    }
  });

  it('enlarges complete images, including the last row and column', async () => {
    const white = blank(37, 53);
    white.data.fill(255);
    for (const policy of [
      { kind: 'fit', width: 640, height: 32 },
      { kind: 'fit', width: 224, height: 224 },
    ] as const) {
      const { image } = await prepareImage(white, policy, 32);
      assert.deepEqual([image.width, image.height], [policy.width, policy.height]);
      assert.ok(image.data.every((value) => value === 255));
    }
  });

  it('does not change an image that has the right size', async () => {
    const image = blank(64, 32);
    const prepared = await prepareImage(image, { kind: 'fit', width: 64, height: 32 }, 32);
    assert.equal(prepared.image, image);
    assert.deepEqual(prepared.toOriginal, { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 });
  });

  it('maps input pixels to their original positions within a twentieth of a pixel, reduced or enlarged', async () => {
    const original = spot(300, 200, 131.3, 88.8, 9);
    const policies: ResizePolicy[] = [
      { kind: 'native' },
      { kind: 'fit', width: 128, height: 224 },
      { kind: 'fit', width: 640, height: 640 },
      { kind: 'fit', width: 608, height: 64 },
      { kind: 'shortestSide', resize: 256, crop: 224 },
      { kind: 'shortestSide', resize: 128, crop: 96 },
    ];
    for (const policy of policies) {
      assertNear(foundAt(await prepareImage(original, policy, 32)), 131.3, 88.8, 0.05);
    }
  });

  it('computes a window of a one-pixel or a long thin image at the cost of the window', async () => {
    for (const [width, height, resize] of [
      [1, 1, 8192],
      [1, 1000, 256],
      [20_000, 1, 256],
      [1, 20_000, 2 ** 32 - 1],
    ] as const) {
      const one = blank(width, height);
      one.data.fill(77);
      const { image } = await prepareImage(one, { kind: 'shortestSide', resize, crop: 224 }, 32);
      assert.deepEqual([image.width, image.height, image.data.length], [224, 224, 224 * 224 * 3]);
      assert.ok(image.data.every((value) => value === 77));
    }
  });

  it('rejects policies that do not fit, with the way out', async () => {
    const image = blank(300, 200);
    const cases: [ResizePolicy, RegExp][] = [
      [{ kind: 'shortestSide', resize: 200, crop: 224 }, /crop 224 is larger than resize 200; crop at most 192$/],
      [
        { kind: 'shortestSide', resize: 16, crop: 32 },
        /resize is 16, less than one cell .*stride is 32.*; use at least 32$/,
      ],
      [{ kind: 'shortestSide', resize: 50, crop: 40 }, /crop is 40, not a multiple of the model's stride 32; use 32$/],
      [{ kind: 'shortestSide', resize: 256, crop: 225 }, /crop is 225, not a multiple.*stride 32; use 224 or 256/],
      [{ kind: 'shortestSide', resize: 0, crop: 32 }, /resize is 0/],
      [{ kind: 'fit', width: 20, height: 64 }, /width is 20.*use 32/],
      [{ kind: 'fit', width: 64, height: Number.NaN }, /height is NaN/],
    ];
    for (const [policy, message] of cases)
      await assert.rejects(prepareImage(image, policy, 32), badDimensions(message));
    const maxUint32 = 2 ** 32 - 1;
    for (const [policy, message] of [
      [
        { kind: 'shortestSide', resize: 256, crop: maxUint32 },
        /^crop 4294967295 is larger than resize 256; crop at most 256$/,
      ],
      [{ kind: 'fit', width: maxUint32, height: 32 }, /network input of 4294967295 x 32 .* exceeds the limit/],
    ] satisfies [ResizePolicy, RegExp][]) {
      await assert.rejects(prepareImage(image, policy, 32), { name: 'ImageError', message });
    }
  });

  it('rejects more output pixels than the limit', async () => {
    const limits = { inputPixels: 64 * 64 };
    for (const policy of [
      { kind: 'native' },
      { kind: 'fit', width: 96, height: 64 },
      { kind: 'shortestSide', resize: 96, crop: 96 },
    ] as const) {
      await assert.rejects(prepareImage(blank(300, 200), policy, 32, limits), {
        name: 'ImageError',
        code: 'too_large',
        message: /exceeds the limit of 4096 \(inputPixels\); choose/,
      });
    }
  });
});

describe('allowed input sizes', () => {
  const limits = {
    inputPixels: 2 ** 20,
    inputSizes: [
      { width: 64, height: 64 },
      { width: 96, height: 64 },
    ],
  };

  it('are accepted from every policy that results in one of them', async () => {
    for (const [image, policy] of [
      [blank(300, 200), { kind: 'fit', width: 96, height: 64 }],
      [blank(300, 200), { kind: 'shortestSide', resize: 96, crop: 64 }],
      [blank(100, 60), { kind: 'native' }],
    ] as const) {
      const { image: input } = await prepareImage(image, policy, 32, limits);
      assert.ok(limits.inputSizes.some(({ width, height }) => input.width === width && input.height === height));
    }
  });

  it('are named if an input would have another size', async () => {
    for (const [policy, size] of [
      [{ kind: 'fit', width: 64, height: 96 }, '64x96'],
      [{ kind: 'shortestSide', resize: 96, crop: 96 }, '96x96'],
      [{ kind: 'native' }, '288x192'],
    ] as const) {
      const message = new RegExp(`network input of ${size} is not one of .* choose 64x64 or 96x64`);
      await assert.rejects(prepareImage(blank(300, 200), policy, 32, limits), badDimensions(message));
    }
  });
});

describe('cropImage', () => {
  const size = { width: 64, height: 96 };

  it('maps input pixels to their original positions, flipped or not', async () => {
    const original = spot(300, 200, 140.4, 93.7, 8);
    for (const flip of [false, true]) {
      const prepared = await cropImage(original, { top: 40, left: 90, height: 120, width: 111, flip }, size);
      assert.deepEqual([prepared.image.width, prepared.image.height], [64, 96]);
      assertNear(foundAt(prepared), 140.4, 93.7, 0.05);
    }
  });

  it('mirrors the pixels of the unflipped crop exactly', async () => {
    const original = spot(100, 80, 30, 30, 10);
    const crop = { top: 5, left: 7, height: 60, width: 70 };
    const plain = (await cropImage(original, { ...crop, flip: false }, size)).image;
    const flipped = (await cropImage(original, { ...crop, flip: true }, size)).image;
    for (let row = 0; row < 96; row++) {
      for (let col = 0; col < 64; col++) {
        assert.equal(flipped.data[(row * 64 + col) * 3], plain.data[(row * 64 + 63 - col) * 3]);
      }
    }
  });

  it('does not blend in pixels from outside the rectangle', async () => {
    const original = blank(100, 100);
    original.data.fill(255);
    for (let row = 20; row < 60; row++) original.data.fill(0, (row * 100 + 20) * 3, (row * 100 + 60) * 3);
    const { image } = await cropImage(original, { top: 20, left: 20, height: 40, width: 40, flip: false }, size);
    assert.ok(image.data.every((value) => value === 0));
  });

  it('rejects crops outside the image and sizes that are not integers', async () => {
    const image = blank(100, 80);
    const crop = { top: 0, left: 0, height: 80, width: 100, flip: false };
    await assert.rejects(
      cropImage(image, { ...crop, left: 1 }, size),
      badDimensions(/outside the image of height 80, width 100/),
    );
    await assert.rejects(cropImage(image, { ...crop, top: -1 }, size), badDimensions(/top must be/));
    await assert.rejects(cropImage(image, { ...crop, width: 0 }, size), badDimensions(/width must be/));
    await assert.rejects(cropImage(image, { ...crop, height: 1.5 }, size), badDimensions(/height must be/));
    await assert.rejects(cropImage(image, crop, { width: 0, height: 1 }), badDimensions(/output width is 0/));
  });
});
