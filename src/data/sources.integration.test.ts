import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { link, mkdir, mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { type ImageSource, openImageSource } from './sources.js';

// Sources do not decode images, so the contents may be any bytes.
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

test('errors describe the problem and the solution', async () => {
  await assert.rejects(openImageSource(join(root, 'missing')), {
    code: 'not_found',
    message: /missing cannot be opened/,
  });
  await assert.rejects(openImageSource(join(root, 'empty')), {
    code: 'no_images',
    message: /empty contains no images.*\.jpg/,
  });
  await assert.rejects(openImageSource(join(root, 'folder', 'cat'), { labels: 'folders' }), {
    code: 'no_labels',
    message: /a\.PNG is at the top level of/,
  });
  await assert.rejects(openImageSource(join(root, 'folder', 'dog', 'readme.txt')), { code: 'unsupported' });
  await assert.rejects(openImageSource(join(root, 'images.tar.gz'), { unpackedLimit: 1000 }), {
    code: 'unsupported',
    message: /more than 1000 bytes.*decompress it with gunzip/,
  });
  await writeFile(join(root, 'broken.tgz'), 'no gzip');
  await assert.rejects(openImageSource(join(root, 'broken.tgz')), { code: 'unsupported', message: /as gzip/ });
  const source = await openImageSource(join(root, 'folder'));
  await assert.rejects(source.read(4), /image 4 is outside the source of 4 images/);
});

/** Contents of all images by name, or the reasons why they cannot be read. */
async function contentsOf(source: ImageSource): Promise<Record<string, string>> {
  const found: Record<string, string> = {};
  for (const [i, name] of namesOf(source).entries()) {
    found[name] = await source.read(i).then(String, (error: Error) => error.message);
  }
  await source.close();
  return found;
}

/** Creates a folder `name` with files, hard links and symbolic links. */
async function folderOf(
  name: string,
  entries: Record<string, string | { hard: string } | { symbolic: string }>,
): Promise<string> {
  const folder = join(root, name);
  for (const [path, entry] of Object.entries(entries)) {
    const at = join(folder, path);
    await mkdir(dirname(at), { recursive: true });
    if (typeof entry === 'string') await writeFile(at, entry);
    else if ('hard' in entry) await link(join(folder, entry.hard), at);
    else await symlink(entry.symbolic, at);
  }
  return folder;
}

test('links to class folders are followed, except those that lead to a parent folder', async () => {
  await folderOf('real', {
    'cat/1.jpg': 'one',
    'cat/2.jpg': 'two',
    'dog/deep/3.jpg': 'three',
    'dog/up': { symbolic: '..' },
  });
  const subset = await folderOf('subset', {
    cat: { symbolic: '../real/cat' },
    dog: { symbolic: join(root, 'real', 'dog') },
    'loop/self': { symbolic: '.' },
    'loop/again': { symbolic: '../cat' },
    gone: { symbolic: 'nowhere' },
    'loop/gone.jpg': { symbolic: 'nowhere.jpg' },
    'loop/file.jpg': { symbolic: '../../real/cat/1.jpg' },
  });
  const source = await openImageSource(subset, { labels: 'folders' });
  assert.deepEqual(source.labelled?.classes, ['cat', 'dog', 'loop']);
  assert.deepEqual(await contentsOf(source), {
    'cat/1.jpg': 'one',
    'cat/2.jpg': 'two',
    'dog/deep/3.jpg': 'three',
    // The link leads to the parent of dog, whose other folder is indexed; dog itself contains the link and is skipped.
    'dog/up/cat/1.jpg': 'one',
    'dog/up/cat/2.jpg': 'two',
    'loop/again/1.jpg': 'one',
    'loop/again/2.jpg': 'two',
    'loop/file.jpg': 'one',
    'loop/gone.jpg': 'it cannot be read: there is no such file or folder',
  });
  // If a folder is reachable by two names, only the name of the folder itself is used, not that of the link.
  await symlink('cat', join(root, 'real', 'alias'));
  assert.deepEqual(Object.keys(await contentsOf(await openImageSource(join(root, 'real')))), [
    'cat/1.jpg',
    'cat/2.jpg',
    'dog/deep/3.jpg',
  ]);
});

test('links that form endless cycles are rejected', async () => {
  const entries: Record<string, { symbolic: string }> = {};
  for (let a = 0; a < 9; a++) {
    for (let b = 0; b < 9; b++) entries[`${a}/${b}`] = { symbolic: `../${b}` };
  }
  await folderOf('knot', { ...entries, '0/x.jpg': 'x' });
  const outside = await folderOf('tied', { in: { symbolic: '../knot/0' } });
  await assert.rejects(openImageSource(outside), { code: 'malformed', message: /is reached by more than 1000 links/ });
});

test('hidden folders and files are skipped in folders and archives', async () => {
  const folder = await folderOf('hidden', {
    'a/1.jpg': '1',
    'b/2.jpg': '2',
    '.ipynb_checkpoints/1-checkpoint.jpg': 'no',
    'a/.thumbs/1.jpg': 'no',
    'b/.2.jpg': 'no',
  });
  execFileSync('tar', ['-cf', join(root, 'hidden.tar'), '-C', folder, '.']);
  for (const path of [folder, join(root, 'hidden.tar')]) {
    const source = await openImageSource(path, { labels: 'folders' });
    assert.deepEqual(
      [source.labelled?.classes, await contentsOf(source)],
      [['a', 'b'], { 'a/1.jpg': '1', 'b/2.jpg': '2' }],
    );
  }
  // The source itself may be in a hidden folder.
  const inside = await folderOf('.cache/photos', { 'a/1.jpg': '1' });
  assert.equal((await openImageSource(inside)).count, 1);
});

for (const format of ['gnu', 'posix', 'ustar']) {
  test(`links in an archive (${format}) are read as the images that they point to, as in a folder`, async () => {
    const long = `${'n'.repeat(90)}/${'m'.repeat(60)}.jpg`;
    const folder = await folderOf(`linked-${format}`, {
      'a/0.jpg': 'zero',
      'a/1.jpg': 'one',
      [long]: 'long',
      'b/hard.jpg': { hard: 'a/0.jpg' },
      'b/symbolic.jpg': { symbolic: '../a/1.jpg' },
      'b/chain.jpg': { symbolic: 'symbolic.jpg' },
      'b/through.jpg': { symbolic: '../alias/./1.jpg' },
      ...(format !== 'ustar' && { 'b/long.jpg': { symbolic: `../${long}` } }),
      alias: { symbolic: 'a' },
    });
    const path = join(root, `linked-${format}.tar`);
    // The second order puts links before their targets.
    for (const order of [['.'], ['b', 'alias', 'a', long.split('/')[0]!]]) {
      execFileSync('tar', [`--format=${format}`, '-cf', path, '-C', folder, ...order]);
      assert.deepEqual(await contentsOf(await openImageSource(path)), await contentsOf(await openImageSource(folder)));
    }
    const outside = await folderOf(`outside-${format}`, {
      'a/1.jpg': 'one',
      'b/out.jpg': { symbolic: '../../real/cat/1.jpg' },
      'b/absolute.jpg': { symbolic: '/etc/hostname' },
      'b/round.jpg': { symbolic: 'back.jpg' },
      'b/back.jpg': { symbolic: 'round.jpg' },
    });
    execFileSync('tar', [`--format=${format}`, '-cf', path, '-C', outside, '.']);
    const absent = 'a link or special file whose content is not in the archive';
    assert.deepEqual(await contentsOf(await openImageSource(path)), {
      'a/1.jpg': 'one',
      'b/absolute.jpg': absent,
      'b/back.jpg': absent,
      'b/out.jpg': absent,
      'b/round.jpg': absent,
    });
  });
}

test('the error for an archive that contains only links names a link', async () => {
  const folder = await folderOf('links-alone', { cat: { symbolic: '../real/cat' } });
  execFileSync('tar', ['-cf', join(root, 'links.tar'), '-C', folder, '.']);
  await assert.rejects(openImageSource(join(root, 'links.tar')), {
    code: 'no_images',
    message:
      /contains no images, but cat: a link to \.\.\/real\/cat, which is not a file of the archive; create the archive with tar --dereference/,
  });
});

test('an archive with two members of the same name is rejected, so that no image is lost silently', async () => {
  const path = join(root, 'updated.tar');
  const folder = await folderOf('updated', { 'a/1.jpg': 'old', 'a/2.jpg': 'two' });
  execFileSync('tar', ['-cf', path, '-C', folder, 'a']);
  execFileSync('tar', ['-rf', path, '-C', folder, 'a/1.jpg']);
  await assert.rejects(openImageSource(path), {
    code: 'malformed',
    message: /updated\.tar contains a\/1\.jpg more than once/,
  });
});

test('the format of an archive is detected from its content, not from its name', async () => {
  const plain = await tarOf(files);
  await writeFile(join(root, 'packed.tar'), gzipSync(plain));
  await writeFile(join(root, 'plain.tar.gz'), plain);
  for (const name of ['packed.tar', 'plain.tar.gz']) {
    assert.deepEqual(namesOf(await openImageSource(join(root, name))), names, name);
  }
  await writeFile(join(root, 'zip.tar'), 'PK\x03\x04');
  await assert.rejects(openImageSource(join(root, 'zip.tar')), {
    code: 'unsupported',
    message: /zip\.tar is a zip archive, not a plain \.tar/,
  });
});

test('errors for compressed shards name the compression and the solution', async () => {
  const packed = gzipSync(await tarOf({ '1.jpg': 'x', '1.cls': '0' }));
  await mkdir(join(root, 'packed'));
  for (const i of [0, 1]) await writeFile(join(root, 'packed', `g-00${i}.tar.gz`), packed);
  await assert.rejects(openImageSource(join(root, 'packed')), {
    code: 'no_images',
    message:
      /packed contains no images, but shards compressed with gzip \(g-000\.tar\.gz, g-001\.tar\.gz\), .*: decompress them with gunzip/,
  });
  const refusals: [string | string[], 'given' | 'none'][] = [
    [join(root, 'packed', 'g-{000..001}.tar.gz'), 'none'],
    [[join(root, 'packed', 'g-000.tar.gz')], 'given'],
    [join(root, 'packed', 'g-000.tar.gz'), 'given'],
  ];
  for (const [path, labels] of refusals) {
    await assert.rejects(openImageSource(path, { labels }), {
      code: 'unsupported',
      message: /g-000\.tar\.gz is compressed with gzip.*read by offset: decompress it with gunzip/,
    });
  }
  await rename(join(root, 'packed', 'g-000.tar.gz'), join(root, 'packed', 'g.zip'));
  await assert.rejects(openImageSource(join(root, 'packed')), {
    message: /unsupported archives \(g-001\.tar\.gz, g\.zip\)/,
  });
});

test('the error for missing labels suggests data.labels none only if the labels were requested explicitly', async () => {
  const flat = await folderOf('flat', { '1.jpg': '1' });
  for (const [labels, suggested] of [
    ['folders', true],
    ['auto', false],
  ] as const) {
    await assert.rejects(openImageSource(flat, { labels }), (error: Error) => {
      assert.match(error.message, /put every image into the folder of its class/);
      assert.equal(error.message.includes('set data.labels to none'), suggested);
      return true;
    });
  }
});
