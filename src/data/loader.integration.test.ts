import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { pack } from 'tar-stream';
import { turnsWhile } from '../../test/support/turnsWhile.js';
import { stream } from '../tensor/random.js';
import { paperAugmentation } from './augment.js';
import { digestsOf, watched } from './imageContents.js';
import { type Batch, createLoader } from './loader.js';
import { batchBytes, type LoaderOptions, resolveLoaderOptions } from './loaderOptions.js';
import { openImageSource } from './sources.js';
import type { ViewSpec } from './view.js';

const view: ViewSpec = {
  size: 32,
  cells: 2,
  scale: [0.3, 1],
  aspect: [3 / 4, 4 / 3],
  augmentation: { ...paperAugmentation[0], solarizeProbability: 0.2 },
};
const views = [view, { ...view, size: 16, cells: 1, scale: [0.1, 0.3] as const }];

/** Turns of the event loop within which messages that were already sent arrive. Making a batch takes hundreds of turns. */
const FEW_TURNS = 10;

let root: string;

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-loader-'));
  for (const folder of ['cat/x', 'dog/x', 'broken', 'ruins']) await mkdir(join(root, folder), { recursive: true });
  const archive = pack();
  for (let i = 0; i < 6; i++) {
    const noise = Uint8Array.from(stream(i).permutation(48 * 40 * 3));
    const jpeg = await sharp(noise, { raw: { width: 48, height: 40, channels: 3 } })
      .jpeg()
      .toBuffer();
    const name = `${i % 2 === 0 ? 'cat' : 'dog'}/x/${i}.jpg`;
    await writeFile(join(root, name), jpeg);
    archive.entry({ name }, jpeg);
    await writeFile(join(root, 'broken', `${i}.jpg`), i === 3 ? jpeg.subarray(0, 200) : jpeg);
    await writeFile(join(root, 'ruins', `${i}.jpg`), i < 4 ? 'not a picture' : jpeg);
  }
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  await writeFile(join(root, 'labelled.tar'), Buffer.concat(chunks));
});

after(() => rm(root, { recursive: true }));

async function batches(
  path: string,
  steps: readonly number[],
  options: Partial<LoaderOptions> & { labels?: 'none' | 'folders' | 'given' } = {},
): Promise<Batch[]> {
  const { labels = 'none', ...rest } = options;
  const source = await openImageSource(path, { labels });
  const loader = createLoader({ source, views, batchSize: 2, seed: 11, ...rest });
  try {
    const made: Batch[] = [];
    for (const step of steps) made.push(await loader.batch(step));
    return made;
  } finally {
    await loader.close();
  }
}

test('batches depend only on seed and step, not on workers, prefetch, cache or order of requests', async () => {
  const path = join(root, 'labelled.tar');
  const steps = [0, 1, 2, 3, 4];
  const one = await batches(path, steps);
  assert.deepEqual(await batches(path, steps, { workers: 3, prefetch: 0, cacheBytes: 0 }), one);
  assert.deepEqual((await batches(path, [...steps].reverse(), { workers: 2 })).reverse(), one);
  assert.notDeepEqual((await batches(path, [0], { seed: 12 }))[0]!.views, one[0]!.views);
});

test('a batch has the documented shapes, labels and epoch', async () => {
  const [first, , , next] = await batches(join(root, 'labelled.tar'), [0, 1, 2, 3], { labels: 'folders' });
  assert.ok(first && next);
  assert.deepEqual(
    first.views.map(({ shape }) => shape),
    [
      [2, 32, 32, 3],
      [2, 16, 16, 3],
    ],
  );
  assert.deepEqual(
    first.locations.map(({ shape }) => shape),
    [
      [2, 4, 2],
      [2, 1, 2],
    ],
  );
  // Sorted by name: three cats, then three dogs.
  assert.deepEqual(
    [...first.labels!.data],
    first.indices.map((index) => (index < 3 ? 0n : 1n)),
  );
  assert.deepEqual([first.epoch, next.epoch], [0, 1]);
  assert.deepEqual(first.skipped, []);
});

test('an epoch contains every image once, and the next epoch has another order', async () => {
  const made = await batches(join(root, 'labelled.tar'), [0, 1, 2, 3, 4, 5]);
  const order = made.flatMap(({ indices }) => indices);
  assert.deepEqual([...order.slice(0, 6)].sort(), [0, 1, 2, 3, 4, 5]);
  assert.deepEqual([...order.slice(6)].sort(), [0, 1, 2, 3, 4, 5]);
  assert.notDeepEqual(order.slice(6), order.slice(0, 6));
});

test('a part of the images is used alone, and with keepLast all of it in each epoch', async () => {
  const path = join(root, 'labelled.tar');
  const items = Uint32Array.of(4, 0, 5);
  const made = await batches(path, [0, 1, 2, 3], { items, keepLast: true, labels: 'folders' });
  assert.deepEqual(
    made.map(({ indices, views: [first], locations: [grid] }) => [indices.length, first!.shape[0], grid!.shape[0]]),
    [
      [2, 2, 2],
      [1, 1, 1],
      [2, 2, 2],
      [1, 1, 1],
    ],
  );
  for (const epoch of [made.slice(0, 2), made.slice(2)]) {
    assert.deepEqual(epoch.flatMap(({ indices }) => indices).sort(), [0, 4, 5]);
  }
  assert.deepEqual(
    made.map(({ epoch }) => epoch),
    [0, 0, 1, 1],
  );
  for (const { labels, indices } of made) {
    assert.deepEqual(
      [...labels!.data],
      indices.map((index) => (index < 3 ? 0n : 1n)),
    );
  }
  assert.deepEqual(await batches(path, [0, 1, 2, 3], { items, keepLast: true, labels: 'folders', workers: 3 }), made);
  // A batch larger than the part.
  const [whole] = await batches(path, [0], { items, keepLast: true, batchSize: 32 });
  assert.deepEqual([...whole!.indices].sort(), [0, 4, 5]);
  await assert.rejects(batches(path, [0], { items, batchSize: 4 }), /batchSize is 4, but the source has only 3 images/);
  await assert.rejects(batches(path, [0], { items: Uint32Array.of(6) }), /items has an index beyond the 6 images/);
});

test('a broken image is replaced by one of the used images', async () => {
  const items = Uint32Array.of(1, 3, 5);
  const made = await batches(join(root, 'broken'), [0, 1, 2, 3], { items, keepLast: true, batchSize: 3 });
  for (const { indices, skipped } of made) {
    assert.ok(indices.every((index) => index === 1 || index === 5));
    assert.deepEqual(
      skipped.map(({ name }) => name),
      ['3.jpg'],
    );
  }
});

test('a folder and an archive of it give the same batches', async () => {
  await promisify(execFile)('tar', ['-cf', join(root, 'cat.tar'), '-C', root, 'cat']);
  assert.deepEqual(await batches(join(root, 'cat.tar'), [0, 1]), await batches(join(root, 'cat'), [0, 1]));
});

test('shards and lists give labelled batches, independent of the number of workers, and report broken images', async () => {
  const jpeg = (i: number) => readFile(join(root, i % 2 === 0 ? 'cat/x' : 'dog/x', `${i}.jpg`));
  const lines: string[] = [];
  for (const shard of [0, 1]) {
    const archive = pack();
    for (let i = shard * 3; i < shard * 3 + 3; i++) {
      archive.entry({ name: `${i}.cls` }, i % 2 === 0 ? 'cat' : 'dog');
      archive.entry({ name: `${i}.jpg` }, i === 4 ? 'not a picture' : await jpeg(i));
      lines.push(
        `${i === 4 ? 'ruins/0.jpg' : `${i % 2 === 0 ? 'cat' : 'dog'}/x/${i}.jpg`},${i % 2 === 0 ? 'cat' : 'dog'}`,
      );
    }
    archive.finalize();
    const chunks: Buffer[] = [];
    for await (const chunk of archive) chunks.push(chunk as Buffer);
    await writeFile(join(root, `wds-${shard}.tar`), Buffer.concat(chunks));
  }
  await writeFile(join(root, 'list.csv'), `path,label\n${lines.join('\n')}\n`);
  const options = { labels: 'given', batchSize: 6 } as const;
  const [shards] = await batches(join(root, 'wds-{0..1}.tar'), [0], options);
  assert.deepEqual(await batches(join(root, 'wds-{0..1}.tar'), [0], { ...options, workers: 3 }), [shards]);
  assert.deepEqual(
    shards!.skipped.map(({ name }) => name),
    ['wds-1.tar/4.jpg'],
  );
  assert.deepEqual(
    [...shards!.labels!.data],
    shards!.indices.map((index) => BigInt(index % 2)),
  );
  const [listed] = await batches(join(root, 'list.csv'), [0], options);
  assert.deepEqual(listed, { ...shards, skipped: [{ ...shards!.skipped[0], name: 'ruins/0.jpg' }] });
});

test('a broken image is replaced and reported, independent of the number of workers', async () => {
  const path = join(root, 'broken');
  const one = await batches(path, [0, 1, 2]);
  const skipped = one.flatMap((batch) => batch.skipped);
  assert.equal(skipped.length, 1);
  assert.equal(skipped[0]!.name, '3.jpg');
  assert.match(skipped[0]!.reason, /cannot be decoded as jpeg/);
  assert.ok(one.every(({ indices }) => indices.length === 2 && !indices.includes(3)));
  assert.deepEqual(await batches(path, [0, 1, 2], { workers: 2 }), one);
});

test('a source with more broken than valid images is an error', async () => {
  await assert.rejects(batches(join(root, 'ruins'), [0, 1, 2]), {
    code: 'undecodable',
    message: /more than half of the images of the source cannot be decoded \(4 of 6 so far/,
  });
});

test('prefetched batches are made while this thread is blocked', async () => {
  const source = await openImageSource(join(root, 'labelled.tar'));
  // A session's run blocks the thread like this. A busy machine may need longer to make the batches.
  let turns = Number.POSITIVE_INFINITY;
  for (let blockedMs = 250; turns > FEW_TURNS && blockedMs <= 16_000; blockedMs *= 2) {
    const loader = createLoader({ source, views, batchSize: 2, seed: 1, prefetch: 2 });
    await loader.batch(0);
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, blockedMs);
    turns = await turnsWhile(() => Promise.all([loader.batch(1), loader.batch(2)]));
    await loader.close();
  }
  assert.ok(turns <= FEW_TURNS, `the batches arrived after ${turns} turns of the event loop`);
});

test('a batch of images that are not those that were read before is an error', async () => {
  const path = join(root, 'labelled.tar');
  const source = await openImageSource(path);
  const digests = digestsOf(source);
  for (let index = 0; index < source.count; index++) await watched(source).read(index);
  const same = await batches(path, [0, 1, 2], { digests });
  assert.deepEqual(same, await batches(path, [0, 1, 2]));
  digests[32 * 4] = digests[32 * 4]! ^ 1;
  await assert.rejects(batches(path, [0, 1, 2], { digests }), {
    name: 'DataError',
    code: 'changed',
    message: `${source.nameOf(4)} has changed since it was first read; leave the images as they are, and run the command again`,
  });
});

test('closing rejects pending batches, and later requests are errors', async () => {
  const source = await openImageSource(join(root, 'labelled.tar'));
  const loader = createLoader({ source, views, batchSize: 2, seed: 1 });
  const awaited = assert.rejects(loader.batch(0), /the loader was closed/);
  await loader.close();
  await awaited;
  await assert.rejects(loader.batch(1), /the loader is closed/);
  await loader.close();
});

test('errors name options that are out of range', async () => {
  const source = await openImageSource(join(root, 'labelled.tar'));
  const create = (options: Partial<LoaderOptions>) => () =>
    createLoader({ source, views, batchSize: 2, seed: 1, ...options });
  assert.throws(create({ batchSize: 7 }), /batchSize is 7, but the source has only 6 images/);
  assert.throws(create({ workers: 0 }), /workers is 0; it must be a whole number from 1 to 64/);
  assert.throws(create({ views: [] }), /number of views is 0/);
  assert.throws(create({ views: [{ ...view, scale: [0.5, 1.5] }] }), /views\[0\]\.scale is 0\.5\.\.1\.5/);
  assert.throws(
    create({ views: [{ ...view, augmentation: { ...view.augmentation, blurProbability: 2 } }] }),
    /views\[0\]\.augmentation\.blurProbability is 2/,
  );
});

test('the number of prefetched steps is limited by bytes, but is at least one', async () => {
  const source = await openImageSource(join(root, 'labelled.tar'));
  // Two views, of 32 x 32 and 16 x 16 pixels, with 4 cells and 1 cell:
  const bytes = 2 * (32 * 32 * 3 + 4 * 8 + 16 * 16 * 3 + 8);
  assert.equal(batchBytes(views, 2), bytes);
  const ahead = (options: Partial<LoaderOptions>) =>
    resolveLoaderOptions({ source, views, batchSize: 2, seed: 1, ...options }).prefetch;
  assert.equal(ahead({}), 3);
  assert.equal(ahead({ prefetchBytes: 2 * bytes + 1 }), 2);
  assert.equal(ahead({ prefetchBytes: 0 }), 1);
  assert.equal(ahead({ prefetchBytes: 0, prefetch: 0 }), 0);
  const loader = createLoader({ source, views, batchSize: 2, seed: 11, prefetchBytes: bytes });
  const made = [await loader.batch(0), await loader.batch(1)];
  await loader.close();
  assert.deepEqual(made, await batches(join(root, 'labelled.tar'), [0, 1]));
});
