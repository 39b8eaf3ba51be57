import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { test } from 'node:test';
import sharp from 'sharp';
import { decodeImage, defaultImageLimits } from './decode.js';
import { decodeInput } from './decodeInput.js';
import { ImageError } from './imageError.js';
import { defaultOutputLimits, prepareImage } from './resize.js';
import type { ResizePolicy } from './types.js';

const limits = { image: defaultImageLimits, output: defaultOutputLimits };
const photo = await readFile(new URL('../../../test/fixtures/photos/coffee.jpg', import.meta.url));

const sized = (width: number, height: number) => sharp(photo).resize(width, height, { fit: 'fill' });

const inOneStep = (bytes: Uint8Array, policy: ResizePolicy) => decodeInput(bytes, policy, 32, limits);
const inTwo = async (bytes: Uint8Array, policy: ResizePolicy) => prepareImage(await decodeImage(bytes), policy, 32);

function meanDifference(a: Uint8Array, b: Uint8Array): number {
  return a.reduce((sum, value, i) => sum + Math.abs(value - b[i]!), 0) / a.length;
}

const square: ResizePolicy = { kind: 'shortestSide', resize: 256, crop: 224 };

test('files that the decoder cannot reduce itself come to the same pixels as decoding and resizing one after the other', async () => {
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

test('a large photograph differs by less than a level in the mean, at every edge too', async () => {
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

test('what is wrong is told as by the two steps', async () => {
  const refused = (code: string) => (error: unknown) => error instanceof ImageError && error.code === code;
  const file = await sized(640, 480).jpeg().toBuffer();
  await assert.rejects(inOneStep(file.subarray(0, file.length / 2), square), refused('corrupt'));
  await assert.rejects(inOneStep(file, { kind: 'fit', width: 100, height: 64 }), refused('bad_dimensions'));
  await assert.rejects(
    decodeInput(file, square, 32, { ...limits, image: { ...defaultImageLimits, maxPixels: 1000 } }),
    refused('too_large'),
  );
});
