import assert from 'node:assert/strict';
import { mkdir, mkdtemp, readdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { pack } from 'tar-stream';
import { shardPaths } from './shardIndex.js';
import { sourceFingerprint } from './sourceFingerprint.js';
import { type ImageSource, openImageSource, type SourceOptions } from './sources.js';

let root: string;
let cache: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-shards-'));
  cache = join(root, 'cache');
});
after(() => rm(root, { recursive: true }));

async function shard(name: string, entries: readonly (readonly [string, string])[]): Promise<string> {
  const archive = pack();
  for (const [member, content] of entries) archive.entry({ name: member }, content);
  archive.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of archive) chunks.push(chunk as Buffer);
  const path = join(root, name);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(path, Buffer.concat(chunks));
  return path;
}

const open = (path: string | readonly string[], options: SourceOptions = {}) =>
  openImageSource(path, { shardCache: cache, keepShardsFrom: Number.POSITIVE_INFINITY, ...options });
const namesOf = (source: ImageSource) => Array.from({ length: source.count }, (_, i) => source.nameOf(i));

/** Shards in the layout of WebDataset; images are not in the order of their names, and the last shard is empty. */
async function trainShards(folder: string): Promise<string> {
  await shard(`${folder}/train-000000.tar`, [
    ['./n02/0002.jpg', 'image 2'],
    ['./n02/0002.cls', '10\n'],
    ['./n01/0001.json', '{"label": 9, "caption": "x"}'],
    ['./n01/0001.seg.png', 'mask'],
    ['./n01/0001.png', 'lower priority'],
    ['./n01/0001.JPG', 'image 1'],
  ]);
  await shard(`${folder}/train-000001.tar`, [
    ['a/only.txt', 'no image here'],
    ['a/0001.cls', '10'],
    ['a/0001.webp', 'image 3'],
    ['.hidden.jpg', 'hidden'],
    ['a/.ipynb_checkpoints/0001.jpg', 'hidden'],
    ['a/._0001.jpg', 'of macOS'],
  ]);
  await shard(`${folder}/train-000002.tar`, []);
  return join(root, folder);
}

const names = ['train-000000.tar/n02/0002.jpg', 'train-000000.tar/n01/0001.JPG', 'train-000001.tar/a/0001.webp'];

test('samples of shards are grouped by key, in archive order; shards are given by pattern, paths or folder', async () => {
  const folder = await trainShards('wds');
  const inputs = [
    join(folder, 'train-{000000..000002}.tar'),
    [join(folder, 'train-000000.tar'), join(folder, 'train-{000001,000002}.tar')],
    folder,
  ];
  const prints = new Set<string>();
  for (const input of inputs) {
    const source = await open(input, { labels: 'given' });
    assert.deepEqual(namesOf(source), names);
    assert.deepEqual(source.labelled!.classes, ['9', '10']);
    assert.deepEqual([...source.labelled!.labels], [1, 0, 1]);
    assert.deepEqual((await Promise.all([0, 1, 2].map((i) => source.read(i)))).map(String), [
      'image 2',
      'image 1',
      'image 3',
    ]);
    await source.close();
    prints.add(sourceFingerprint(source));
    assert.equal((await open(input)).labelled, undefined);
  }
  assert.equal(prints.size, 1);
  // Other labels change the fingerprint.
  await shard('wds/train-000001.tar', [
    ['a/0001.cls', '9'],
    ['a/0001.webp', 'image 3'],
  ]);
  const relabelled = await open(folder, { labels: 'given' });
  assert.ok(!prints.has(sourceFingerprint(relabelled)));
});

test('a single .tar is a shard with labels "given", and otherwise an archive of a folder', async () => {
  const path = await shard('one.tar', [
    ['x/b.jpg', 'b'],
    ['x/b.cls', 'dog'],
    ['x/a.jpg', 'a'],
    ['x/a.cls', 'cat'],
  ]);
  const given = await open(path, { labels: 'given' });
  assert.deepEqual(namesOf(given), ['one.tar/x/b.jpg', 'one.tar/x/a.jpg']);
  assert.deepEqual([...given.labelled!.labels], [1, 0]);
  assert.deepEqual(namesOf(await open(path)), ['a.jpg', 'b.jpg']);
});

test('an index is cached, and rebuilt if its shard changes or the cache file is damaged', async () => {
  const folder = await trainShards('kept');
  const keep = { labels: 'given', keepShardsFrom: 0 } as const;
  const first = await open(folder, keep);
  const files = await readdir(cache);
  assert.equal(files.length, 3);
  // A change of the cached file is visible, so the cache is used.
  for (const file of files) {
    const text = await readFile(join(cache, file), 'utf8');
    await writeFile(join(cache, file), text.replace('a/0001.webp', 'a/KEPT.webp'));
  }
  const second = await open(folder, keep);
  assert.deepEqual(namesOf(second), [...names.slice(0, 2), 'train-000001.tar/a/KEPT.webp']);
  assert.deepEqual(second.labelled, first.labelled);
  await utimes(join(folder, 'train-000001.tar'), new Date(), new Date(2001, 1));
  assert.deepEqual(namesOf(await open(folder, keep)), names);
  for (const file of files) await writeFile(join(cache, file), '{"format":2');
  assert.deepEqual(namesOf(await open(folder, keep)), names);
  // An index that was cached without labels is not used for a source with labels.
  const plain = await shard('plain-000.tar', [['1.jpg', 'x']]);
  await open([plain], { keepShardsFrom: 0 });
  await assert.rejects(open([plain], keep), { code: 'no_labels', message: /plain-000\.tar: sample "1" has no label/ });
});

test('a cache that cannot be written is not an error', async () => {
  const folder = await trainShards('uncached');
  await writeFile(join(root, 'file'), '');
  const source = await open(folder, { shardCache: join(root, 'file', 'inside'), keepShardsFrom: 0 });
  assert.deepEqual(namesOf(source), names);
});

test('a source may have more shards than are open at the same time', async () => {
  const paths: string[] = [];
  for (let i = 0; i < 70; i++) paths.push(await shard(`many/${String(i).padStart(3, '0')}.tar`, [['i.jpg', `i ${i}`]]));
  const source = await open(join(root, 'many/{000..069}.tar'));
  const items = Array.from({ length: 70 }, (_, i) => i);
  for (const _ of [0, 1]) {
    assert.deepEqual(
      (await Promise.all(items.map((i) => source.read(i)))).map(String),
      items.map((i) => `i ${i}`),
    );
  }
  await source.close();
});

test('a pattern stands for all of its shards, or is refused', () => {
  const paths = shardPaths('laion/{000000..231348}.tar');
  assert.equal(paths.length, 231_349);
  assert.equal(paths.at(-1), 'laion/231348.tar');
  assert.equal(shardPaths(`${'x'.repeat(200)}/{00000..49999}.tar`).length, 50_000);
  assert.throws(() => shardPaths('{0000000..1000000}.tar'), { code: 'malformed', message: /more than 1000000 shards/ });
  assert.throws(() => shardPaths(`${'x'.repeat(3000)}{000000..099999}.tar`), {
    code: 'malformed',
    message: /characters together/,
  });
});

test('errors name the shard, the sample and the solution', async () => {
  const folder = await trainShards('wrong');
  await assert.rejects(open(join(folder, 'train-{000000..000009}.tar')), {
    code: 'not_found',
    message: /the shard .*train-000003\.tar cannot be opened: there is no such file or folder; check the pattern/,
  });
  await assert.rejects(open(folder, { labels: 'folders' }), {
    code: 'no_labels',
    message: /set data\.labels to given/,
  });
  const refused = async (entries: readonly (readonly [string, string])[], code: string, message: RegExp) =>
    assert.rejects(open([await shard('bad.tar', entries)], { labels: 'given' }), { name: 'DataError', code, message });
  await refused(
    [
      ['a/1.jpg', 'x'],
      ['a/2.jpg', 'x'],
      ['a/1.cls', '1'],
    ],
    'no_labels',
    /bad\.tar: sample "a\/1" has no label; add 1\.cls .* next to its image/,
  );
  // Every image needs its own key; the webdataset library rejects this, too.
  await refused(
    Array.from({ length: 4 }, (_, i) => i).flatMap((i) => [
      ['a.jpg', `image ${i}`] as const,
      ['a.cls', String(i)] as const,
    ]),
    'malformed',
    /bad\.tar: sample "a" has two members with the extension \.jpg; .* every image needs its own key/,
  );
  await refused(
    ['a', 'b', 'a'].flatMap((key) => [[`${key}.jpg`, 'x'] as const, [`${key}.cls`, '1'] as const]),
    'malformed',
    /bad\.tar: sample "a" has two images, with other samples between/,
  );
  await refused(
    [
      ['a.jpg', 'x'],
      ['a.cls', '1'],
      ['a.cls', '2'],
    ],
    'malformed',
    /sample "a" has two members with the extension \.cls/,
  );
  await refused([['1.json', '{"label": 1.5}']], 'malformed', /1\.json: "label" is 1\.5; write text or a whole number/);
  await refused([['1.json', '{"label"']], 'malformed', /bad\.tar: 1\.json: .*JSON/);
  await refused([['1.cls', ' \n']], 'malformed', /1\.cls is empty/);
  await refused(
    [['1.txt', 'x']],
    'no_images',
    /bad\.tar contains no images; searched for samples with a member whose extension/,
  );
  await refused(
    [
      ['1.jpg', 'x'],
      ['1.cls', '3'],
    ],
    'no_labels',
    /has only the label 3/,
  );
  await assert.rejects(open(join(root, 'wrong.txt')), { code: 'not_found', message: /give a folder.*train-\{000/ });
});
