import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import sharp from 'sharp';
import { cropImage } from './crop.js';
import { decodeImage, defaultImageLimits } from './decode.js';
import { decodeInput } from './decodeInput.js';
import { composeMaps } from './geometry.js';
import { ImageError } from './imageError.js';
import { defaultOutputLimits, prepareImage } from './resize.js';
import type { ResizePolicy } from './types.js';

const limits = { image: defaultImageLimits, output: defaultOutputLimits };
const photo = await readFile(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));

const sized = (width: number, height: number) => sharp(photo).resize(width, height, { fit: 'fill' });

const inOneStep = (bytes: Uint8Array, policy: ResizePolicy) =>
  decodeInput({ encoded: bytes }, { policy, stride: 32, limits });
const inTwo = async (bytes: Uint8Array, policy: ResizePolicy) => prepareImage(await decodeImage(bytes), policy, 32);

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

const square: ResizePolicy = { kind: 'shortestSide', resize: 256, crop: 224 };

test('files that the decoder cannot downscale give the same pixels as decoding and resizing in two steps', async () => {
  const files: [string, Promise<Buffer>, ResizePolicy][] = [
    ['as large as its resize', sized(384, 256).jpeg().toBuffer(), square],
    ['a little larger', sized(500, 333).jpeg().toBuffer(), square],
    ['much larger, sides of odd lengths', sized(1205, 803).jpeg().toBuffer(), square],
    ['upright by EXIF', sized(600, 400).jpeg().withMetadata({ orientation: 6 }).toBuffer(), square],
    ['its own size', sized(384, 256).jpeg().toBuffer(), { kind: 'native' }],
    ['stretched', sized(640, 480).jpeg().toBuffer(), { kind: 'fit', width: 512, height: 448 }],
    ['enlarged', sized(100, 80).jpeg().toBuffer(), square],
    ['grey', sized(500, 333).greyscale().jpeg().toBuffer(), square],
    ['CMYK', sized(500, 333).toColourspace('cmyk').jpeg().toBuffer(), square],
    ['PNG with alpha', sized(500, 333).ensureAlpha(0.5).png().toBuffer(), square],
    ['with a colour profile', sized(500, 333).withIccProfile('p3').jpeg().toBuffer(), square],
  ];
  for (const [name, file, policy] of files) {
    const bytes = await file;
    assert.deepEqual(await inOneStep(bytes, policy), await inTwo(bytes, policy), name);
  }
});

test('a large photograph differs by less than one level on average, also at every edge', async () => {
  for (const [width, height] of [
    [2400, 1600],
    [4032, 3024],
    [1920, 1080],
  ] as const) {
    const bytes = await sized(width, height).jpeg({ quality: 90 }).toBuffer();
    const one = await inOneStep(bytes, square);
    const two = await inTwo(bytes, square);
    assert.deepEqual({ ...one, image: null }, { ...two, image: null });
    const mean = meanDifference(one.image.data, two.image.data);
    assert.ok(mean < 0.7, `${width} x ${height}: ${mean}`);
    const rows = (data: Uint8Array, from: number) => data.subarray(from * 224 * 3, (from + 16) * 224 * 3);
    for (const from of [0, 208]) {
      const difference = meanDifference(rows(one.image.data, from), rows(two.image.data, from));
      assert.ok(difference < 1, `${width} x ${height}, rows from ${from}: ${difference}`);
    }
  }
});

test('errors are the same as those of the two steps', async () => {
  const refused = (code: string) => (error: unknown) => error instanceof ImageError && error.code === code;
  const file = await sized(640, 480).jpeg().toBuffer();
  await assert.rejects(inOneStep(file.subarray(0, file.length / 2), square), refused('corrupt'));
  await assert.rejects(inOneStep(file, { kind: 'fit', width: 100, height: 64 }), refused('bad_dimensions'));
  await assert.rejects(
    decodeInput(
      { encoded: file },
      { policy: square, stride: 32, limits: { ...limits, image: { ...defaultImageLimits, imagePixels: 1000 } } },
    ),
    refused('too_large'),
  );
});

test('a crop is cut and mirrored before the policy is applied, whatever part the policy keeps', async () => {
  const decoded = await decodeImage(photo);
  const policies: ResizePolicy[] = [
    { kind: 'shortestSide', resize: 96, crop: 64 },
    { kind: 'shortestSide', resize: 480, crop: 96 },
    { kind: 'fit', width: 32, height: 320 },
    { kind: 'native' },
  ];
  for (const policy of policies) {
    for (const flip of [false, true]) {
      const crop = { left: 101, top: 33, width: 211, height: 147, flip };
      // The crop as a separate image.
      const cut = await cropImage(decoded, crop, crop);
      const expected = await prepareImage(cut.image, policy, 32);
      for (const picture of [{ encoded: photo }, { raw: decoded }]) {
        const { image, toOriginal, original } = await decodeInput(picture, { crop, policy, stride: 32, limits });
        assert.deepEqual([image.width, image.height], [expected.image.width, expected.image.height]);
        const maxDifference = image.data.reduce(
          (m, value, i) => Math.max(m, Math.abs(value - expected.image.data[i]!)),
          0,
        );
        // libvips shrinks by large factors in two steps, which are not quite symmetric.
        assert.ok(maxDifference <= 8, `${policy.kind}, ${flip}: ${maxDifference} levels apart`);
        assert.ok(meanDifference(image.data, expected.image.data) < 0.5);
        assert.deepEqual(toOriginal, composeMaps(cut.toOriginal, expected.toOriginal));
        assert.deepEqual(original, { width: decoded.width, height: decoded.height });
      }
    }
  }
});

test('a file for which the pipeline would write too many pixels is rejected before decoding', async () => {
  const upright = await sized(640, 480).jpeg().toBuffer();
  const rotated = await sized(640, 480).jpeg().withMetadata({ orientation: 6 }).toBuffer();
  // Enough for the image and its input, but not for a rotated copy.
  const output = { ...defaultOutputLimits, pipelinePixels: 640 * 480 + 224 * 224 * 4 };
  const wanted = { policy: square, stride: 32, limits: { ...limits, output } };
  await decodeInput({ encoded: upright }, wanted);
  await assert.rejects(
    decodeInput({ encoded: rotated }, wanted),
    (error: unknown) =>
      error instanceof ImageError && error.code === 'too_large' && /decode 307200, orient 307200/.test(error.message),
  );
  // Damage that only the decoder detects, after the plan was checked.
  const damaged = await sized(640, 480).webp({ lossless: true }).withMetadata({ orientation: 6 }).toBuffer();
  const { length } = damaged;
  damaged.fill(0xff, length >> 2, length >> 1);
  await assert.rejects(decodeInput({ encoded: damaged }, { ...wanted, limits }), { code: 'corrupt' });
  await assert.rejects(decodeInput({ encoded: damaged }, wanted), {
    code: 'too_large',
    message: /\(pipelinePixels\)/,
  });
});
