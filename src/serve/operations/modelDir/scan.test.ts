import assert from 'node:assert/strict';
import { mkdir, mkdtemp, rename, rm, symlink, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, test } from 'node:test';
import { scanModelDir } from './scan.js';

let dir: string;
before(async () => {
  dir = await mkdtemp(join(tmpdir(), 'vicregl-scan-'));
});
after(() => rm(dir, { recursive: true }));

async function write(path: string, text = '{}'): Promise<void> {
  await mkdir(join(dir, path, '..'), { recursive: true });
  await writeFile(join(dir, path), text);
}

const signature = async (name: string, version: string): Promise<string> =>
  (await scanModelDir(dir)).models.get(name)!.find((each) => each.version === version)!.signature;

test('versions are whole numbers in numerical order; hidden folders, other names and files are left out', async () => {
  for (const version of ['2', '10', '1', '.11', '012', '0', '1.5', 'v3', '10.tmp'])
    await write(`atto/${version}/manifest.json`);
  await write('README.md');
  await write('atto/notes.txt');
  await write('.hidden/1/manifest.json');
  await write('empty/nothing.txt');
  await write('flat/manifest.json');
  // As volumes of Kubernetes and git-sync do.
  await symlink(join(dir, 'atto', '10'), join(dir, 'atto', '12'));
  await symlink(join(dir, 'nowhere'), join(dir, 'atto', '13'));
  const { models, misplaced } = await scanModelDir(dir);
  assert.deepEqual([...models.keys()], ['atto']);
  assert.deepEqual(
    models.get('atto')!.map(({ version }) => version),
    ['12', '10', '2', '1'],
  );
  assert.equal(models.get('atto')![0]!.dir, join(dir, 'atto', '12'));
  assert.deepEqual(misplaced, ['flat']);
});

test('a signature changes with a file that is replaced, also by one of the same size, and with times that jump', async () => {
  await write('sign/1/weights', 'aaaa');
  const first = await signature('sign', '1');
  assert.equal(await signature('sign', '1'), first);
  await write('sign/new', 'bbbb');
  await rename(join(dir, 'sign/new'), join(dir, 'sign/1/weights'));
  const second = await signature('sign', '1');
  assert.notEqual(second, first);
  // A clock that was wrong when the file was written, in either direction.
  for (const year of ['1999', '2099']) {
    const at = new Date(`${year}-01-01`);
    await utimes(join(dir, 'sign/1/weights'), at, at);
    assert.notEqual(await signature('sign', '1'), second);
  }
});

test('a directory that cannot be read is an error', async () => {
  await assert.rejects(scanModelDir(join(dir, 'missing')), { code: 'ENOENT' });
});
