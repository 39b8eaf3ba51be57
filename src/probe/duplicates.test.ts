import assert from 'node:assert/strict';
import { cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { openImageSource } from '../data/sources.js';
import { findDuplicates } from './duplicates.js';
import { splitLabelled } from './labelledImages.js';

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-duplicates-'));
  for (const name of ['a', 'b']) {
    await mkdir(join(root, 'train', name), { recursive: true });
    await mkdir(join(root, 'test', name), { recursive: true });
    for (let i = 0; i < 5; i++) await writeFile(join(root, 'train', name, `${i}.jpg`), `train ${name} ${i}`);
    await writeFile(join(root, 'test', name, '0.jpg'), `test ${name}`);
  }
  // Another name, the same bytes.
  await writeFile(join(root, 'test', 'a', 'copy.jpg'), 'train b 3');
});
after(() => rm(root, { recursive: true }));

const options = { trainImages: 100, testImages: 100, seed: 1 };
async function duplicates(train: string, test: string | undefined, maxRead?: number) {
  const [first, second] = [await openImageSource(join(root, train), { labels: 'auto' }), test];
  const other = second === undefined ? undefined : await openImageSource(join(root, second), { labels: 'auto' });
  return findDuplicates(splitLabelled(first, other, options), maxRead === undefined ? {} : { maxRead });
}

test('finds a test image with the bytes of a training image under any name', async () => {
  assert.deepEqual(await duplicates('train', 'test'), {
    count: 1,
    by: 'content',
    example: { test: 'a/copy.jpg', train: 'b/3.jpg' },
  });
  assert.equal((await duplicates('train', 'train')).count, 10);
  assert.deepEqual(await duplicates('train', undefined), { count: 0, by: 'content' });
});

test('finds copies within one source across the held-out part', async () => {
  await cp(join(root, 'train'), join(root, 'doubled'), { recursive: true });
  await cp(join(root, 'train', 'a'), join(root, 'doubled', 'b', 'again'), { recursive: true });
  await cp(join(root, 'train', 'b'), join(root, 'doubled', 'a', 'again'), { recursive: true });
  const { count, by } = await duplicates('doubled', undefined);
  assert.equal(by, 'content');
  assert.ok(count > 0);
});

test('compares files if there are too many images to read', async () => {
  assert.deepEqual(await duplicates('train', 'test', 12), { count: 0, by: 'path' });
  const { count, by } = await duplicates('train', 'train', 12);
  assert.deepEqual([count, by], [10, 'path']);
});
