import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, lstat, mkdir, mkdtemp, readdir, readFile, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { smallDisk } from '../../test/support/smallDisk.js';
import { writeFileAtomically } from './atomicFile.js';

const KIB = 1024;

describe('a file that is written atomically', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-atomic-'));
  });
  after(() => rm(scratch, { recursive: true }));

  it('has its whole content, as text, bytes or pieces, and nothing is left beside it', async () => {
    const folder = join(scratch, 'whole');
    await mkdir(folder);
    const path = join(folder, 'file');
    const pieces = [Uint8Array.of(1, 2), new Uint8Array(0), Uint8Array.of(3)];
    const cases = [
      ['é\n', Buffer.from('é\n')],
      [pieces[0]!, pieces[0]!],
      [pieces, Uint8Array.of(1, 2, 3)],
    ] as const;
    for (const [content, expected] of cases) {
      await writeFileAtomically(path, content);
      assert.deepEqual([...(await readFile(path))], [...expected]);
    }
    assert.deepEqual(await readdir(folder), ['file']);
  });

  it('stays as it was if the disk has room for a part of the new content only', async (t) => {
    const disk = join(scratch, 'disk');
    if (!smallDisk(t, disk, 64 * KIB)) return;
    const path = join(disk, 'file');
    await writeFile(path, 'before');
    const pieces = Array.from({ length: 10 }, () => Buffer.alloc(10_000, 'x'));
    for (const content of ['x'.repeat(100_000), Buffer.alloc(100_000, 'x'), pieces]) {
      await assert.rejects(writeFileAtomically(path, content), { code: 'ENOSPC' });
      assert.equal(await readFile(path, 'utf8'), 'before');
      assert.deepEqual(await readdir(disk), ['file']);
    }
    await writeFileAtomically(path, 'x'.repeat(30_000));
    assert.equal((await stat(path)).size, 30_000);
  });

  it('keeps its permissions, and a symbolic link that leads to it', async () => {
    const folder = join(scratch, 'linked');
    await mkdir(folder);
    const [path, link] = [join(folder, 'file'), join(folder, 'link')];
    await writeFile(path, 'before');
    await chmod(path, 0o666);
    await symlink(path, link);
    await writeFileAtomically(link, 'after');
    assert.equal(await readFile(path, 'utf8'), 'after');
    assert.ok((await lstat(link)).isSymbolicLink());
    assert.equal((await stat(path)).mode & 0o777, 0o666);
  });

  it('may have as long a name as the file system allows, in any script', async () => {
    const folder = join(scratch, 'long');
    await mkdir(folder);
    const names = ['x'.repeat(255), '日'.repeat(85), '😀'.repeat(63)];
    for (const name of names) await writeFileAtomically(join(folder, name), name);
    assert.deepEqual((await readdir(folder)).sort(), names.sort());
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    it(`leaves nothing beside it when ${signal} ends the process, which ends by that signal`, async () => {
      const folder = join(scratch, signal);
      await mkdir(folder);
      await writeFile(join(folder, 'file'), 'before');
      const code = `
        import { writeFileAtomically } from '${new URL('./atomicFile.js', import.meta.url).href}';
        async function* pieces() {
          yield Buffer.alloc(10);
          console.log('writing');
          await new Promise((resolve) => setTimeout(resolve, 2 ** 30));
        }
        await writeFileAtomically('${join(folder, 'file')}', pieces());`;
      const child = spawn(process.execPath, ['--input-type=module', '--eval', code], {
        stdio: ['ignore', 'pipe', 'inherit'],
      });
      const ended = once(child, 'exit');
      await once(child.stdout, 'data');
      assert.equal((await readdir(folder)).length, 2);
      child.kill(signal);
      assert.deepEqual(await ended, [null, signal]);
      assert.deepEqual(await readdir(folder), ['file']);
      assert.equal(await readFile(join(folder, 'file'), 'utf8'), 'before');
    });
  }
});
