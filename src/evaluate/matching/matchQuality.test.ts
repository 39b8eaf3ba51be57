import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import sharp from 'sharp';
import { noAugmentation } from '../../data/augment.js';
import { openImageSource } from '../../data/sources.js';
import type { WorkProgress } from '../../progress/work.js';
import { stream } from '../../tensor/random.js';
import { type Tensor, tensor, zeros } from '../../tensor/tensor.js';
import { matchQuality } from './matchQuality.js';

let root: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-quality-'));
  for (let i = 0; i < 12; i++) {
    // Red tells the column, green the row, so that a mean colour is a place.
    const [width, height] = [200 + 4 * i, 240];
    const data = new Uint8Array(width * height * 3);
    for (let y = 0; y < height; y++) {
      for (let x = 0; x < width; x++) {
        data[(y * width + x) * 3] = x;
        data[(y * width + x) * 3 + 1] = y;
      }
    }
    await sharp(data, { raw: { width, height, channels: 3 } })
      .png()
      .toFile(join(root, `${i}.png`));
  }
});

after(() => rm(root, { recursive: true }));

const CELLS = 7;

/** Mean colour of every cell: [B, 7, 7, 3]. */
async function meanColour(batch: Tensor<'uint8'>): Promise<Tensor<'float32'>> {
  const [count, size] = batch.shape as [number, number];
  const side = size / CELLS;
  const means = zeros('float32', [count, CELLS, CELLS, 3]);
  for (let i = 0; i < batch.data.length; i++) {
    const [channel, pixel] = [i % 3, Math.floor(i / 3)];
    const [x, y, image] = [pixel % size, Math.floor(pixel / size) % size, Math.floor(pixel / size / size)];
    const cell = Math.floor(y / side) * CELLS + Math.floor(x / side);
    const at = (image * CELLS * CELLS + cell) * 3 + channel;
    means.data[at] = means.data[at]! + batch.data[i]! / (side * side);
  }
  return means;
}

const options = { size: 56, resamples: 200 };

test('features that tell the place find every place that is there, flipped crops too', async () => {
  const source = await openImageSource(root);
  const plain = await matchQuality(source, meanColour, options);
  // All that is missed are places just outside the target, whose colour is near that of a cell at its edge.
  assert.equal(plain.share, plain.visible);
  assert.ok(plain.share > 0.99, `share ${plain.share}`);
  assert.deepEqual(plain.grid, { rows: 7, columns: 7 });
  assert.equal(plain.matches, 12 * 4 * 20);
  assert.ok(plain.chance > 0.04 && plain.chance < 0.1, `chance ${plain.chance}`);

  const policy = { ...noAugmentation, flipProbability: 0.5 };
  const flipped = await matchQuality(source, meanColour, {
    ...options,
    augmentation: [policy, policy],
  });
  assert.equal(flipped.share, flipped.visible);
  assert.ok(flipped.share > 0.99, `share ${flipped.share}`);
});

test('random features stay near chance', async () => {
  const source = await openImageSource(root);
  const random = stream(9);
  const noise = async ({ shape }: Tensor<'uint8'>) => {
    const count = shape[0]! * CELLS * CELLS * 8;
    return tensor(
      'float32',
      [shape[0]!, CELLS, CELLS, 8],
      Float32Array.from({ length: count }, () => random.normal()),
    );
  };
  const { share, chance, interval, visible } = await matchQuality(source, noise, options);
  assert.ok(Math.abs(share - chance) < 0.04, `${share} against ${chance}`);
  assert.ok(interval[0] < share && share < interval[1]);
  assert.ok(visible > 0.5 && visible < 1);
});

test('the seed decides the pairs', async () => {
  const source = await openImageSource(root);
  const batches: Uint8Array[] = [];
  const watch = (batch: Tensor<'uint8'>) => {
    batches.push(batch.data);
    return meanColour(batch);
  };
  for (const seed of [1, 1, 2]) await matchQuality(source, watch, { ...options, seed });
  assert.deepEqual(batches.slice(0, 12), batches.slice(12, 24));
  assert.notDeepEqual(batches.slice(0, 12), batches.slice(24));
});

test('pictures that cannot be decoded are left out and named; the others have the same pairs', async () => {
  const source = await openImageSource(root);
  const whole = await matchQuality(source, meanColour, options);
  assert.deepEqual(whole.skipped, []);
  const broken = {
    ...source,
    read: async (index: number) => (index === 3 ? Buffer.from('no picture') : source.read(index)),
  };
  const { skipped, perPhotograph, matches, chance } = await matchQuality(broken, meanColour, options);
  assert.deepEqual(
    skipped.map(({ index, name }) => [index, name]),
    [[3, source.nameOf(3)]],
  );
  assert.deepEqual(
    [...perPhotograph],
    [...whole.perPhotograph].filter((_, i) => i !== 3),
  );
  assert.equal(matches, 11 * 4 * 20);
  assert.ok(chance > 0.04 && chance < 0.1, `chance ${chance}`);
  const none = { ...source, read: async () => Buffer.from('no picture') };
  await assert.rejects(matchQuality(none, meanColour, options), {
    name: 'DataError',
    code: 'undecodable',
    message: /no image can be evaluated, and an interval needs two: 12 cannot be decoded, such as 0\.png: /,
  });
});

test('several photographs at once give the same figures, bit for bit, and all are told of', async () => {
  const source = await openImageSource(root);
  const broken = {
    ...source,
    read: async (index: number) => (index % 5 === 3 ? Buffer.from('no picture') : source.read(index)),
  };
  let called = 0;
  const latersFirst = async (batch: Tensor<'uint8'>) => {
    const waits = 4 - (called++ % 4);
    const found = await meanColour(batch);
    for (let i = 0; i < waits * 3; i++) await new Promise(setImmediate);
    return found;
  };
  const told: number[] = [];
  const progress: WorkProgress = { begin: () => undefined, advance: (count = 1) => told.push(count) };
  const one = await matchQuality(broken, meanColour, options);
  assert.deepEqual(
    one.skipped.map(({ index }) => index),
    [3, 8],
  );
  assert.deepEqual(await matchQuality(broken, latersFirst, { ...options, runs: 3, progress }), one);
  assert.equal(
    told.reduce((sum, count) => sum + count, 0),
    12,
  );
});

test('bad input is named', async () => {
  const source = await openImageSource(root);
  await assert.rejects(matchQuality(source, meanColour, { ...options, topGamma: 50 }), /50/);
  await assert.rejects(
    matchQuality(source, async () => zeros('float32', [1, 7, 7, 3]), options),
    /extract returned \[1, 7, 7, 3\]; it must be \[8, h, w, D\]/,
  );
});
