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
    // Red encodes the column and green the row, so a mean colour encodes a position.
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

const options = { size: 56 };
/** Index of the 20 best matches in the gammas of 49 cells. */
const TOP_20 = 4;
const mean = (values: Float64Array) => values.reduce((sum, value) => sum + value, 0) / values.length;

test('features that encode the position find every visible position, also in flipped crops', async () => {
  const source = await openImageSource(root);
  const plain = await matchQuality(source, meanColour, options);
  assert.deepEqual(plain.grid, { rows: 7, columns: 7 });
  assert.deepEqual(plain.gammas, [1, 2, 5, 10, 20, 49]);
  // The only misses are positions just outside the target, whose colour is close to that of a cell at its edge.
  assert.deepEqual(plain.measures.share[TOP_20], plain.measures.visible[TOP_20]);
  assert.ok(mean(plain.measures.share[TOP_20]!) > 0.99, `share ${mean(plain.measures.share[TOP_20]!)}`);
  const chance = mean(plain.chance);
  assert.ok(chance > 0.04 && chance < 0.1, `chance ${chance}`);

  const policy = { ...noAugmentation, flipProbability: 0.5 };
  const flipped = await matchQuality(source, meanColour, {
    ...options,
    augmentation: [policy, policy],
  });
  assert.deepEqual(flipped.measures.share[TOP_20], flipped.measures.visible[TOP_20]);
  assert.ok(mean(flipped.measures.share[TOP_20]!) > 0.99);
});

test('shares fall with the number of matches, and all matches include those whose position is not visible', async () => {
  const source = await openImageSource(root);
  const { measures } = await matchQuality(source, meanColour, options);
  const [first, all] = [mean(measures.share[0]!), mean(measures.share.at(-1)!)];
  assert.equal(first, 1);
  assert.ok(all < mean(measures.share[TOP_20]!) && all > 0.5, `${all}`);
  assert.deepEqual(measures.share.at(-1), measures.visible.at(-1));
});

test('refined positions of smooth features lie within few pixels, and larger distances include smaller ones', async () => {
  const source = await openImageSource(root);
  // On a circle, cosine similarity is a monotonic function of the difference between two positions.
  const onCircles = async (batch: Tensor<'uint8'>) => {
    const { data } = await meanColour(batch);
    const vectors = Float32Array.from({ length: (data.length / 3) * 4 }, (_, i) => {
      const angle = (data[Math.floor(i / 4) * 3 + ((i >> 1) % 2)]! / 255) * Math.PI;
      return i % 2 === 0 ? Math.cos(angle) : Math.sin(angle);
    });
    return tensor('float32', [batch.shape[0]!, CELLS, CELLS, 4], vectors);
  };
  const { measures } = await matchQuality(source, onCircles, options);
  const [one, three, five] = [measures.within_1px, measures.within_3px, measures.within_5px].map((values) =>
    mean(values[TOP_20]!),
  ) as [number, number, number];
  assert.ok(one <= three && three <= five && five <= mean(measures.visible[TOP_20]!));
  // A cell is 8 pixels wide: cell centres lie within 3 pixels of a random position in under half of all cases.
  assert.ok(three > 0.9, `${one}, ${three}, ${five}`);
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
  const { measures, chance } = await matchQuality(source, noise, options);
  const share = mean(measures.share[TOP_20]!);
  assert.ok(Math.abs(share - mean(chance)) < 0.04, `${share} against ${mean(chance)}`);
  const visible = mean(measures.visible[TOP_20]!);
  assert.ok(visible > 0.5 && visible < 1);
});

test('the seed determines the pairs', async () => {
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

test('a photograph that changes between two models is an error, since their values are paired', async () => {
  const source = { ...(await openImageSource(root)) };
  await matchQuality(source, meanColour, options);
  const { read } = source;
  source.read = (index) => read(index === 5 ? 6 : index);
  await assert.rejects(matchQuality(source, meanColour, options), {
    name: 'DataError',
    code: 'changed',
    message: new RegExp(`^${source.nameOf(5)} has changed since it was first read`),
  });
});

test('photographs that cannot be decoded are left out and named; the others have the same pairs', async () => {
  const source = await openImageSource(root);
  const whole = await matchQuality(source, meanColour, options);
  assert.deepEqual(whole.skipped, []);
  const broken = {
    ...source,
    read: async (index: number) => (index === 3 ? Buffer.from('not an image') : source.read(index)),
  };
  const { skipped, measures, chance } = await matchQuality(broken, meanColour, options);
  assert.deepEqual(
    skipped.map(({ index, name }) => [index, name]),
    [[3, source.nameOf(3)]],
  );
  assert.deepEqual(
    [...measures.share[TOP_20]!],
    [...whole.measures.share[TOP_20]!].filter((_, i) => i !== 3),
  );
  assert.equal(chance.length, 11);
  const none = { ...source, read: async () => Buffer.from('not an image') };
  await assert.rejects(matchQuality(none, meanColour, options), {
    name: 'DataError',
    code: 'undecodable',
    message: /no image can be evaluated, and an interval needs two: 12 cannot be decoded, such as 0\.png: /,
  });
});

test('concurrent photographs give identical results, and progress counts all of them', async () => {
  const source = await openImageSource(root);
  const broken = {
    ...source,
    read: async (index: number) => (index % 5 === 3 ? Buffer.from('not an image') : source.read(index)),
  };
  let called = 0;
  const laterFirst = async (batch: Tensor<'uint8'>) => {
    const waits = 4 - (called++ % 4);
    const found = await meanColour(batch);
    for (let i = 0; i < waits * 3; i++) await new Promise(setImmediate);
    return found;
  };
  const advanced: number[] = [];
  const progress: WorkProgress = { begin: () => undefined, advance: (count = 1) => advanced.push(count) };
  const one = await matchQuality(broken, meanColour, options);
  assert.deepEqual(
    one.skipped.map(({ index }) => index),
    [3, 8],
  );
  assert.deepEqual(await matchQuality(broken, laterFirst, { ...options, runs: 3, progress }), one);
  assert.equal(
    advanced.reduce((sum, count) => sum + count, 0),
    12,
  );
});

test('features of another shape are rejected', async () => {
  const source = await openImageSource(root);
  await assert.rejects(
    matchQuality(source, async () => zeros('float32', [1, 7, 7, 3]), options),
    /extract returned \[1, 7, 7, 3\]; it must be \[8, h, w, D\]/,
  );
});
