import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../../test/support/tinyModel.js';
import { createFakeEngine } from '../../../engine/fakeEngine.js';
import { zeros } from '../../../tensor/tensor.js';
import { createFeatureStore, type StoredFeatures } from './featureStore.js';

const engine = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
const cellToPixel = { scaleX: 8, scaleY: 8, offsetX: 0, offsetY: 0 };

/** Features of rows * 100 float32, 400 bytes a row. */
const features = (rows: number): StoredFeatures => ({
  engine,
  output: 'maps',
  grid: { rows, columns: 10, stride: 8, cellToPixel },
  maps: zeros('float32', [rows, 10, 10]),
});

test('features are found until their time after the last use has passed', () => {
  let now = 1000;
  const store = createFeatureStore({ storedFeaturesBytes: 10_000, storedFeatures: 10 }, () => now);
  const kept = features(1);
  store.keep('a', kept, 60);
  store.keep('b', features(2), 10);
  now += 9_000;
  assert.deepEqual(store.find('a'), { ...kept, ttlSeconds: 60 });
  assert.ok(store.find('b'));
  now += 9_000;
  assert.ok(store.find('b'), 'use renews the time');
  now += 11_000;
  assert.equal(store.find('b'), undefined);
  assert.deepEqual(store.find('a'), { ...kept, ttlSeconds: 60 });
  assert.deepEqual(store.stats, { hits: 4, misses: 1, evictions: 0, expirations: 1, entries: 1, bytes: 400 });
});

test('features that are stored again remain for the longer of the two times', () => {
  let now = 1000;
  const store = createFeatureStore({ storedFeaturesBytes: 10_000, storedFeatures: 10 }, () => now);
  assert.equal(store.keep('a', features(1), 10), 10);
  assert.equal(store.find('a', 600)?.ttlSeconds, 600);
  now += 599_000;
  assert.equal(store.find('a', 5)?.ttlSeconds, 600, 'a shorter time takes nothing away');
  now += 599_000;
  assert.equal(store.find('a')?.ttlSeconds, 600);
  now += 601_000;
  assert.equal(store.find('a'), undefined);

  assert.equal(store.keep('b', features(1), 600), 600);
  assert.equal(store.keep('b', features(1), 10), 600, 'computed twice at the same time');
  now += 599_000;
  assert.ok(store.find('b'));
  now += 601_000;
  assert.equal(store.keep('b', features(1), 10), 10, 'what has expired counts no more');
  assert.deepEqual(store.stats, { hits: 4, misses: 1, evictions: 0, expirations: 2, entries: 1, bytes: 400 });
});

test('bytes and entries are limited, and the least recently used features are evicted first', () => {
  const store = createFeatureStore({ storedFeaturesBytes: 2000, storedFeatures: 3 });
  for (const ref of ['a', 'b', 'c']) store.keep(ref, features(1), 60);
  store.find('a');
  store.keep('d', features(1), 60);
  assert.deepEqual(
    ['a', 'b', 'c', 'd'].map((ref) => store.find(ref) !== undefined),
    [true, false, true, true],
  );
  store.keep('e', features(4), 60);
  assert.ok(store.find('e'));
  assert.ok(store.stats.bytes <= 2000);
  assert.throws(() => store.keep('f', features(6), 60), {
    code: 'too_large',
    message: /^features of 2400 bytes cannot be stored: over the limit of 2000 \(storedFeaturesBytes\); ask/,
  });
  assert.ok(store.find('e'), 'what does not fit drops nothing');
});

test('features are copied, so that they do not retain the memory of their batch', () => {
  const store = createFeatureStore({ storedFeaturesBytes: 2000, storedFeatures: 3 });
  const batch = Float32Array.from({ length: 400 }, (_, i) => i);
  const maps = { dtype: 'float32' as const, shape: [1, 10, 10], data: batch.subarray(100, 200) };
  store.keep('a', { ...features(1), maps }, 60);
  const { data } = store.find('a')!.maps;
  assert.equal(data.buffer.byteLength, 400);
  assert.deepEqual(data, maps.data);
  const alone = features(1);
  store.keep('b', alone, 60);
  assert.equal(store.find('b')!.maps.data, alone.maps.data, 'nothing to copy');
});

test('the features of one engine are removed together', () => {
  const store = createFeatureStore({ storedFeaturesBytes: 2000, storedFeatures: 3 });
  const other = createFakeEngine({ manifest: { ...tinyManifest, files: {} } });
  store.keep('a', features(1), 60);
  store.keep('b', { ...features(1), engine: other }, 60);
  store.keep('c', features(1), 60);
  store.dropOf(engine);
  assert.deepEqual(store.stats, { hits: 0, misses: 0, evictions: 0, expirations: 0, entries: 1, bytes: 400 });
  assert.ok(store.find('b'));
});
