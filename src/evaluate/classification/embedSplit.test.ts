import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import sharp from 'sharp';
import type { ImageSource } from '../../data/sources.js';
import { type FeatureCache, featureCache } from '../featureCache.js';
import { pixelSubject } from '../subjects/pixelSubject.js';
import { embedLabelled } from './embedSplit.js';

describe('embedding while an image changes', () => {
  let root: string;
  let pictures: readonly Buffer[];
  before(async () => {
    root = await mkdtemp(join(tmpdir(), 'vicregl-changing-'));
    pictures = await Promise.all(
      ['#300000', '#00a000'].map((background) =>
        sharp({ create: { width: 64, height: 64, channels: 3, background } })
          .png()
          .toBuffer(),
      ),
    );
  });
  after(() => rm(root, { recursive: true }));

  // Two subjects of equal features, whose digests differ.
  const subjects = [16, 32].map((stride) => pixelSubject(new Map([['maps', stride]])));
  let now = 0;
  const newSource = () =>
    ({
      count: 2,
      nameOf: (index: number) => `${index}.png`,
      read: async () => pictures[now]!,
    }) as unknown as ImageSource;
  const embed = async (source: ImageSource, subject: number, cache: FeatureCache) => {
    const by = subjects[subject]!;
    const images = { source, indices: [0, 1], labels: Uint32Array.of(0, 1) };
    return (await embedLabelled(await by.open(), by, images, { resize: 64, crop: 64, cache })).vectors;
  };

  for (const keeps of [false, true]) {
    it(`is an error that names it, and nothing wrong is kept (${keeps ? 'with' : 'without'} a cache)`, async () => {
      const cache = featureCache(keeps ? join(root, 'cache') : undefined);
      const source = newSource();
      now = 0;
      const first = await embed(source, 0, cache);
      now = 1;
      const changed = { name: 'DataError', code: 'changed', message: /^[01]\.png has changed since it was first read/ };
      await assert.rejects(embed(source, 1, cache), changed);
      now = 0;
      const truth = await embed(newSource(), 1, featureCache(undefined));
      assert.deepEqual(await embed(newSource(), 1, cache), truth);
      assert.deepEqual(await embed(newSource(), 0, cache), first);
      // Another source, of other contents under the same names.
      now = 1;
      assert.notDeepEqual(await embed(newSource(), 0, cache), first);
    });
  }
});
