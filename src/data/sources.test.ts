import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type ImageSource, openImageSource } from './sources.js';

// Sources do not decode, so any bytes will do.
const files: Record<string, string> = {
  'cat/b.jpg': 'cat b',
  'cat/a.PNG': 'cat a',
  'cat/deep/c.webp': 'cat c',
  'dog/a.jpg': 'dog a',
  'dog/readme.txt': 'not an image',
  'dog/._a.jpg': 'hidden',
};
const names = ['cat/a.PNG', 'cat/b.jpg', 'cat/deep/c.webp', 'dog/a.jpg'];
const contents = ['cat a', 'cat b', 'cat c', 'dog a'];

const namesOf = (source: ImageSource) => Array.from({ length: source.count }, (_, i) => source.nameOf(i));

let root: string;

async function tarOf(entries: Record<string, string>): Promise<Buffer> {
  const archive = pack();
  for (const [name, content] of Object.entries(entries)) archive.entry({ name }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-sources-'));
  for (const [name, content] of Object.entries(files)) {
    await mkdir(dirname(join(root, 'folder', name)), { recursive: true });
    await writeFile(join(root, 'folder', name), content);
  }
  const long = Object.fromEntries(
    Object.entries(files).map(([name, text]) => [`./${'long/'.repeat(40)}${name}`, text]),
  );
  await writeFile(join(root, 'images.tar'), await tarOf(long));
  await writeFile(join(root, 'images.tar.gz'), gzipSync(await tarOf(files)));
  await mkdir(join(root, 'empty'));
});

after(() => rm(root, { recursive: true }));

for (const path of ['folder', 'images.tar', 'images.tar.gz']) {
  test(`${path}: images in order, with and without labels`, async () => {
    const plain = await openImageSource(join(root, path));
    assert.deepEqual(namesOf(plain), names);
    assert.equal(plain.labelled, undefined);
    const read = await Promise.all(names.map((_, i) => plain.read(i)));
    assert.deepEqual(read.map(String), contents);
    await plain.close();

    const labelled = await openImageSource(join(root, path), { labels: 'folders' });
    assert.deepEqual(labelled.labelled?.classes, ['cat', 'dog']);
    assert.deepEqual([...labelled.labelled.labels], [0, 0, 0, 1]);
    await labelled.close();
  });
}

test('errors say what is wrong and the way out', async () => {
  await assert.rejects(openImageSource(join(root, 'missing')), {
    code: 'not_found',
    message: /missing cannot be opened/,
  });
  await assert.rejects(openImageSource(join(root, 'empty')), {
    code: 'no_images',
    message: /empty holds no images.*\.jpg/,
  });
  await assert.rejects(openImageSource(join(root, 'folder', 'cat'), { labels: 'folders' }), {
    code: 'no_labels',
    message: /a\.PNG lies at the top of/,
  });
  await assert.rejects(openImageSource(join(root, 'folder', 'dog', 'readme.txt')), { code: 'unsupported' });
  await assert.rejects(openImageSource(join(root, 'images.tar.gz'), { unpackedLimit: 1000 }), {
    code: 'unsupported',
    message: /more than 1000 bytes.*gunzip it/,
  });
  await writeFile(join(root, 'broken.tgz'), 'no gzip');
  await assert.rejects(openImageSource(join(root, 'broken.tgz')), { code: 'unsupported', message: /as gzip/ });
  const source = await openImageSource(join(root, 'folder'));
  await assert.rejects(source.read(4), /image 4 is outside the source of 4 images/);
});
