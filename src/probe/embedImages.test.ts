import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { decodedCache } from '../data/decodedCache.js';
import type { ImageSource } from '../data/sources.js';
import { decodeImage } from '../image/decode.js';
import { prepareImage } from '../image/resize.js';
import type { WorkProgress } from '../progress/work.js';
import { tensor } from '../tensor/tensor.js';
import { embedImages, type Represent } from './embedImages.js';

/** A PNG of one grey. */
const plain = (level: number) =>
  sharp({ create: { width: 9, height: 8, channels: 3, background: { r: level, g: level, b: level } } })
    .png()
    .toBuffer();

test('vectors are in the order of the images; broken images are left out with their labels', async () => {
  const files = [await plain(10), await plain(20), Buffer.from('no image'), await plain(40), await plain(50)];
  let reads = 0;
  const source = {
    nameOf: (i: number) => `${i}.png`,
    read: async (i: number) => {
      reads++;
      return files[i]!;
    },
  } as unknown as ImageSource;
  const batches: number[] = [];
  const represent: Represent = async ({ shape, data }) => {
    batches.push(shape[0]!);
    assert.deepEqual(shape.slice(1), [8, 8, 3]);
    return tensor(
      'float32',
      [shape[0]!, 2],
      Float32Array.from({ length: shape[0]! * 2 }, (_, i) => data[(i >> 1) * 192]! + (i % 2) / 2),
    );
  };
  const images = { source, indices: [4, 2, 0, 1, 3], labels: Uint32Array.of(9, 8, 7, 6, 5) };
  const cache = decodedCache(2 ** 20);
  const options = { resize: 8, crop: 8, stride: 8, batchSize: 2, cache };
  const { vectors, labels, skipped } = await embedImages(images, represent, options);
  assert.deepEqual(vectors.shape, [4, 2]);
  assert.deepEqual([...vectors.data], [50, 50.5, 10, 10.5, 20, 20.5, 40, 40.5]);
  assert.deepEqual([...labels], [9, 7, 6, 5]);
  assert.deepEqual(
    skipped.map(({ index, name }) => [index, name]),
    [[2, '2.png']],
  );
  assert.match(skipped[0]!.reason, /^image is text, which is not supported/);
  assert.deepEqual(batches, [1, 2, 1]);
  assert.equal(reads, 5);

  // The second time, prepared images come from the cache, and the broken one is read again.
  assert.deepEqual((await embedImages(images, represent, options)).vectors, vectors);
  assert.equal(reads, 6);
});

test('concurrent runs give the same vectors as sequential runs, bit for bit', async () => {
  const size = 40;
  const files = await Promise.all(
    Array.from({ length: 23 }, async (_, i) => {
      if (i % 6 === 4) return Buffer.from('no image');
      const noise = Uint8Array.from({ length: (size + i) * size * 3 }, (_, at) => (at * (7 + 2 * i)) % 251);
      return sharp(noise, { raw: { width: size + i, height: size, channels: 3 } })
        .jpeg()
        .toBuffer();
    }),
  );
  const source = { nameOf: (i: number) => `${i}.jpg`, read: async (i: number) => files[i]! } as unknown as ImageSource;
  const images = { source, indices: files.map((_, i) => (i * 5) % 23), labels: Uint32Array.from(files, (_, i) => i) };
  // The results depend on the whole batch, so that another composition of the batches would be noticed.
  const represent: Represent = async ({ shape, data }) => {
    const sums = Float32Array.from({ length: shape[0]! }, (_, i) => {
      let sum = 0;
      for (const value of data.subarray(i * 3072, (i + 1) * 3072)) sum = Math.fround(sum * 0.99 + value);
      return sum;
    });
    const whole = sums.reduce((sum, value) => sum + value, 0);
    return tensor(
      'float32',
      [shape[0]!, 2],
      Float32Array.from({ length: shape[0]! * 2 }, (_, i) => (i % 2 ? whole : sums[i >> 1]!)),
    );
  };
  // Later batches finish first.
  let called = 0;
  const lastFirst: Represent = async (batch) => {
    const waits = 4 - (called++ % 4);
    const answer = await represent(batch);
    for (let i = 0; i < waits * 3; i++) await new Promise(setImmediate);
    return answer;
  };
  const options = { resize: 36, crop: 32, stride: 32, batchSize: 4 };

  const rows: number[] = [];
  const labels: number[] = [];
  const broken: number[] = [];
  for (let start = 0; start < 23; start += 4) {
    const batch: Uint8Array[] = [];
    for (const [i, index] of images.indices.slice(start, start + 4).entries()) {
      try {
        const { image } = await prepareImage(
          await decodeImage(files[index]!),
          { kind: 'shortestSide', resize: 36, crop: 32 },
          32,
        );
        batch.push(image.data);
        labels.push(start + i);
      } catch {
        broken.push(index);
      }
    }
    rows.push(...(await represent(tensor('uint8', [batch.length, 32, 32, 3], Buffer.concat(batch)))).data);
  }
  assert.equal(broken.length, 4);
  for (const runs of [1, 3]) {
    const advanced: number[] = [];
    const progress: WorkProgress = { begin: () => undefined, advance: (count = 1) => advanced.push(count) };
    const found = await embedImages(images, lastFirst, { ...options, runs, progress });
    assert.deepEqual([...found.vectors.data], rows);
    assert.deepEqual([...found.labels], labels);
    assert.deepEqual(
      found.skipped.map(({ index }) => index),
      broken,
    );
    assert.equal(
      advanced.reduce((sum, count) => sum + count, 0),
      23,
    );
  }
});

test('an error of a run is thrown once no other run is in progress', async () => {
  const file = await plain(10);
  const source = { nameOf: String, read: async () => file } as unknown as ImageSource;
  const images = { source, indices: Array.from({ length: 12 }, (_, i) => i), labels: new Uint32Array(12) };
  let [called, inProgress] = [0, 0];
  const represent: Represent = async ({ shape }) => {
    const run = called++;
    inProgress++;
    for (let i = 0; i < (run === 1 ? 1 : 20); i++) await new Promise(setImmediate);
    inProgress--;
    if (run === 1) throw new Error('out of memory');
    return tensor('float32', [shape[0]!, 1], new Float32Array(shape[0]!));
  };
  await assert.rejects(embedImages(images, represent, { resize: 8, crop: 8, stride: 8, batchSize: 2, runs: 3 }), {
    message: 'out of memory',
  });
  assert.equal(inProgress, 0);
  assert.ok(called < 6, `${called} of 6 runs`);
});
