import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { decodedCache } from '../data/decodedCache.js';
import type { ImageSource } from '../data/sources.js';
import { tensor } from '../tensor/tensor.js';
import { embedImages, type Represent } from './embedImages.js';

/** A PNG of one grey. */
const plain = (level: number) =>
  sharp({ create: { width: 9, height: 8, channels: 3, background: { r: level, g: level, b: level } } })
    .png()
    .toBuffer();

test('vectors stand in the order of the images; broken ones are left out with their labels; batches are full', async () => {
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
  assert.match(skipped[0]!.reason, /^image is text, which is not read/);
  assert.deepEqual(batches, [1, 2, 1]);
  assert.equal(reads, 5);

  // A second time the prepared images are there; the broken one is tried again.
  assert.deepEqual((await embedImages(images, represent, options)).vectors, vectors);
  assert.equal(reads, 6);
});
