import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { closeSync, openSync, statSync, truncateSync, writeFileSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { after, before, test } from 'node:test';
import { type ByteSource, fileBytes, memoryBytes, tarMembers } from './tarWalk.js';

/** Names that are too long for ustar, and contents around the sizes of a block and of the window. */
const deep = `${'folder/'.repeat(30)}${'n'.repeat(120)}.jpg`;
const contents: Record<string, string> = {
  'a.jpg': '',
  'b/ümlaut 日本.png': 'x'.repeat(511),
  'b/c.jpg': 'y'.repeat(512),
  [deep]: 'z'.repeat(513),
  'd.cls': '7',
  'e.jpg': 'long'.repeat(4000),
};

let root: string;
before(async () => {
  root = await mkdtemp(join(tmpdir(), 'vicregl-tar-'));
  for (const [name, content] of Object.entries(contents)) {
    await mkdir(dirname(join(root, 'in', name)), { recursive: true });
    await writeFile(join(root, 'in', name), content);
  }
});
after(() => rm(root, { recursive: true }));

function walk(archive: ByteSource, path = 'x.tar'): Record<string, string> {
  return Object.fromEntries(
    [...tarMembers(archive, path)].map(({ name, offset, size }) => {
      assert.equal(offset % 512, 0);
      return [name, archive.read(offset, size).toString()];
    }),
  );
}

for (const format of ['gnu', 'posix', 'ustar']) {
  test(`reads the members of an archive of GNU tar, format ${format}`, async () => {
    const path = join(root, `${format}.tar`);
    const long = format === 'ustar' ? [`--exclude=${'n'.repeat(120)}.jpg`] : []; // too long for ustar
    execFileSync('tar', [...long, `--format=${format}`, '-cf', path, '-C', join(root, 'in'), '.']);
    const expected = { ...contents };
    if (format === 'ustar') delete expected[deep];
    assert.deepEqual(walk(memoryBytes(await readFile(path))), expected);
    const descriptor = openSync(path, 'r');
    try {
      // Reads cross the borders of the window and overlap; a file gives the same bytes as memory.
      assert.deepEqual(walk(fileBytes(descriptor, statSync(path).size)), expected);
    } finally {
      closeSync(descriptor);
    }
  });
}

test('reads headers and skips contents', () => {
  writeFileSync(join(root, 'in', 'large.bin'), '');
  truncateSync(join(root, 'in', 'large.bin'), 3 * 2 ** 20);
  const path = join(root, 'large.tar');
  execFileSync('tar', ['-cf', path, '-C', join(root, 'in'), 'large.bin', 'd.cls']);
  const descriptor = openSync(path, 'r');
  const file = fileBytes(descriptor, statSync(path).size);
  let bytes = 0;
  const counted: ByteSource = {
    size: file.size,
    read: (offset, length) => {
      bytes += length;
      return file.read(offset, length);
    },
  };
  try {
    assert.deepEqual(
      [...tarMembers(counted, path)].map(({ name, size }) => [name, size]),
      [
        ['large.bin', 3 * 2 ** 20],
        ['d.cls', 1],
      ],
    );
  } finally {
    closeSync(descriptor);
  }
  assert.ok(bytes < 20_000, `${bytes} bytes`);
});

test('concatenated archives are read to the end', async () => {
  const bytes = await readFile(join(root, 'gnu.tar'));
  assert.equal([...tarMembers(memoryBytes(Buffer.concat([bytes, bytes])), 'x.tar')].length, 12);
});

test('errors for damaged or truncated archives name the archive and the position', async () => {
  const bytes = await readFile(join(root, 'posix.tar'));
  const refused = (archive: Buffer, message: RegExp) =>
    assert.throws(() => walk(memoryBytes(archive), 'some.tar'), { name: 'DataError', code: 'unsupported', message });
  const damaged = Buffer.from(bytes);
  damaged[20]! ^= 1;
  refused(damaged, /^some\.tar cannot be read as a tar archive: bad header at byte 0; /);
  refused(Buffer.from('no archive'), /it ends inside a header at byte 0/);
  const last = [...tarMembers(memoryBytes(bytes), 'x.tar')].at(-1)!;
  const huge = Buffer.from(bytes);
  huge[124] = 0x90; // the marker of a base-256 number, here larger than any archive
  refused(huge, /bad header at byte 0/);
  refused(bytes.subarray(0, last.offset + last.size - 1), /it ends inside \S+; create or download it again/);
});

test('a name may contain newlines and text that looks like an attribute', async () => {
  const names = ['a\nb.jpg', '30 path=other.jpg\n', 'c\n11 size=0\nd.jpg'];
  const folder = join(root, 'newlines');
  await mkdir(folder);
  for (const [i, name] of names.entries()) await writeFile(join(folder, name), `content ${i}`);
  await symlink(names[0]!, join(folder, 'link'));
  for (const format of ['posix', 'gnu']) {
    const path = join(root, `newlines-${format}.tar`);
    // Extended attributes for every member, also those that do not need them.
    const pax = format === 'posix' ? ['--pax-option=comment:=x'] : [];
    execFileSync('tar', [`--format=${format}`, ...pax, '-cf', path, '-C', folder, '.']);
    const expected = Object.fromEntries(names.map((name, i) => [name, `content ${i}`]));
    assert.deepEqual(walk(memoryBytes(await readFile(path))), { ...expected, link: 'content 0' }, format);
  }
});

test('names have no empty parts and no dots, also those that lead out of the archive', async () => {
  const folder = join(root, 'dots', 'in');
  await mkdir(folder, { recursive: true });
  await writeFile(join(folder, 'file'), 'content');
  const written = [
    'x//z.jpg',
    './a/./b.jpg',
    'a/../c.jpg',
    '/top/d.jpg',
    '../../out/e.jpg',
    'a/../../f.jpg',
    'g...jpg',
  ];
  const found: string[] = [];
  for (const [i, name] of written.entries()) {
    const path = join(root, 'dots', `${i}.tar`);
    execFileSync('tar', ['-P', '--transform', `s|.*|${name}|`, '-cf', path, '-C', folder, 'file']);
    const [[only, content]] = Object.entries(walk(memoryBytes(await readFile(path)))) as [[string, string]];
    assert.equal(content, 'content');
    found.push(only);
  }
  assert.deepEqual(found, ['x/z.jpg', 'a/b.jpg', 'c.jpg', 'top/d.jpg', 'out/e.jpg', 'f.jpg', 'g...jpg']);
});
