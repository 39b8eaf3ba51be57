import assert from 'node:assert/strict';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { tensor } from '../tensor/tensor.js';
import { type CachedPart, featureCache } from './featureCache.js';

const part = (value: number): CachedPart => ({
  tensors: new Map([['x', tensor('float32', [1], Float32Array.of(value))]]),
  metadata: { note: String(value) },
});

const keyOf = (key: unknown) => ({ kind: 'test', digest: 'abc', provider: 'cpu', key });

describe('featureCache', () => {
  it('keeps parts by their keys, and computes a damaged one again', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vicregl-cache-'));
    try {
      const computed: string[] = [];
      const get = (key: string, value: number) =>
        featureCache(dir).part(keyOf(key), async () => {
          computed.push(key);
          return part(value);
        });
      await get('a', 1);
      assert.deepEqual(await Promise.all(['a', 'b'].map((key) => featureCache(dir).has(keyOf(key)))), [true, false]);
      assert.equal(await featureCache(undefined).has(keyOf('a')), false);
      await get('b', 2);
      assert.deepEqual(await get('a', 3), part(1));
      assert.deepEqual(computed, ['a', 'b']);
      const [name] = (await readdir(dir, { recursive: true })).filter((each) => each.endsWith('.safetensors'));
      await writeFile(join(dir, name!), 'truncated');
      await get('a', 1);
      await get('b', 2);
      assert.equal(computed.length, 3);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('keeps parts of each provider apart', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vicregl-cache-'));
    try {
      const get = (provider: string, value: number) =>
        featureCache(dir).part({ ...keyOf(0), provider }, async () => part(value));
      await get('cpu', 1);
      assert.deepEqual(await get('cuda', 2), part(2));
      assert.deepEqual(await get('cpu', 3), part(1));
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('keeps the newest state of work that goes on, and forgets a damaged one', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vicregl-cache-'));
    try {
      const saved = featureCache(dir).progressOf(keyOf('head'));
      assert.equal(await saved.read(), undefined);
      await saved.write(part(1));
      await saved.write(part(2));
      assert.deepEqual(await featureCache(dir).progressOf(keyOf('head')).read(), part(2));
      assert.equal(await featureCache(dir).progressOf(keyOf('other')).read(), undefined);
      const files = (await readdir(dir, { recursive: true })).filter((each) => each.endsWith('.safetensors'));
      assert.equal(files.length, 1);
      await writeFile(join(dir, files[0]!), 'truncated');
      assert.equal(await saved.read(), undefined);
      const nowhere = featureCache(undefined).progressOf(keyOf('head'));
      await nowhere.write(part(1));
      assert.equal(await nowhere.read(), undefined);
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('names the folder of what cannot be written', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vicregl-cache-'));
    try {
      const file = join(dir, 'file');
      await writeFile(file, '');
      const error = { name: 'OutputError', message: /^--cache: .*file.* cannot be written: .*\(ENOTDIR\)$/ };
      await assert.rejects(featureCache(file).progressOf(keyOf(1)).write(part(1)), error);
      await assert.rejects(featureCache(file, 'maps').progressOf(keyOf(1)).write(part(1)), { message: /^maps: / });
    } finally {
      await rm(dir, { recursive: true });
    }
  });

  it('keeps nothing where the work fails, or without a folder', async () => {
    const dir = await mkdtemp(join(tmpdir(), 'vicregl-cache-'));
    try {
      const failing = featureCache(dir).part(keyOf(1), () => Promise.reject(new Error('no memory')));
      await assert.rejects(failing, /no memory/);
      assert.deepEqual(await readdir(dir), []);
      assert.deepEqual(await featureCache(undefined).part(keyOf(1), async () => part(4)), part(4));
    } finally {
      await rm(dir, { recursive: true });
    }
  });
});
