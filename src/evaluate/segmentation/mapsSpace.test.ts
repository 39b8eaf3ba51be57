import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { tensor } from '../../tensor/tensor.js';
import { featureCache } from '../featureCache.js';
import { frozenMapsBytes, missingMapsBytes } from './frozenMaps.js';
import { type MapsSpaceOptions, type MapsSubject, mapsPlace, requireMapsSpace } from './mapsSpace.js';
import type { CheckedPair } from './segmentationData.js';

const pairs = [0, 1, 2].map(
  (i): CheckedPair => ({
    name: `${i}.png`,
    image: `${i}.png`,
    mask: `${i}.png`,
    size: { width: 64, height: 32 },
    imageDigest: `image ${i}`,
    maskDigest: `mask ${i}`,
  }),
);
const subjectOf = (digest: string): MapsSubject => ({
  digest,
  provider: 'cpu',
  stride: 32,
  maps: [{ name: 'maps', channels: 10, stride: 32 }],
});
const [one, other] = [subjectOf('one'), subjectOf('other')];
/** A window of 64 x 32 pixels has 2 cells of 10 float16 values, and is mirrored too. */
const BYTES = 3 * 2 * 2 * 10 * 2;

describe('space for the maps of segmentation', () => {
  let root: string;
  let cached: MapsSpaceOptions;
  let temporary: MapsSpaceOptions;
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-space-'));
    const base = {
      window: { side: 512, step: 341 },
      crop: 32,
      flip: true,
      memoryBytes: 0,
      scratch: join(root, 'scratch'),
    };
    cached = { ...base, cacheDir: join(root, 'cache') };
    temporary = { ...base, cacheDir: undefined };
  });
  after(() => rm(root, { recursive: true }));
  const free = (bytes: number) => async () => bytes;

  it('is that of all subjects together in the cache, and of the largest one in the temporary folder', async () => {
    assert.equal(frozenMapsBytes(pairs, { ...cached, ...one }, 32), BYTES);
    await requireMapsSpace([one, other], pairs, cached, free(2 * BYTES));
    await assert.rejects(requireMapsSpace([one, other], pairs, cached, free(2 * BYTES - 1)), {
      name: 'DataError',
      message:
        /^the maps of the training images that are not in the cache yet of 2 subjects take .* give another folder/,
    });
    await requireMapsSpace([one, other], pairs, temporary, free(BYTES));
    await assert.rejects(requireMapsSpace([one, other], pairs, temporary, free(BYTES - 1)), /with --cache/);
    const rejected = (flip: boolean, message: RegExp) =>
      assert.rejects(requireMapsSpace([one], pairs, { ...temporary, flip }, free(0)), { message });
    await rejected(true, /, use fewer images \(--train-images\), or --no-flip, which halves them$/);
    await rejected(false, /with --cache, or use fewer images \(--train-images\)$/);
    // Held in memory.
    await requireMapsSpace([one, other], pairs, { ...temporary, memoryBytes: BYTES }, free(0));
  });

  it('is not needed again for maps that are in the cache', async () => {
    const cache = featureCache(cached.cacheDir);
    const lacking = () => missingMapsBytes(pairs, { ...cached, ...one }, 32, cache);
    assert.equal(await lacking(), BYTES);
    for (const { imageDigest } of pairs) {
      const key = { kind: 'segmentation-maps', digest: 'one', provider: 'cpu', image: imageDigest, maps: ['maps'] };
      const { window, crop, flip } = cached;
      const tensors = new Map([['maps', tensor('float16', [1], new Uint16Array(1))]]);
      await cache.part({ ...key, window, least: crop, flip }, async () => ({ tensors, metadata: {} }));
    }
    assert.equal(await lacking(), 0);
    await requireMapsSpace([one], pairs, cached, free(0));
    await requireMapsSpace([one, other], pairs, cached, free(BYTES));
    await assert.rejects(requireMapsSpace([one, other], pairs, cached, free(BYTES - 1)));
    await assert.rejects(requireMapsSpace([{ ...one, provider: 'cuda' }], pairs, cached, free(0)));
  });

  it('of the temporary folder is free again when a subject is done', async () => {
    const place = mapsPlace(one, pairs, temporary);
    const key = { kind: 'test', digest: 'one', provider: 'cpu' };
    await place.cache.part(key, async () => ({ tensors: new Map(), metadata: { x: 'y' } }));
    assert.ok((await readdir(join(root, 'scratch', 'maps', 'one'))).length > 0);
    await place.clear();
    assert.deepEqual(await readdir(join(root, 'scratch', 'maps')), []);
    assert.equal(mapsPlace(one, pairs, { ...temporary, memoryBytes: BYTES }).cache.keeps, false);
  });
});
