import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { smallDisk } from '../../test/support/smallDisk.js';
import { checkOutputFile, checkOutputFolder, makeFolder, OutputError, writeOutput, writeOutputFile } from './output.js';

const refused = (path: string, reason: RegExp) => (error: unknown) => {
  assert.ok(error instanceof OutputError, String(error));
  assert.ok(error.message.startsWith(`--out: ${path} cannot be written: `), error.message);
  assert.match(error.message, reason);
  return true;
};

describe('output paths', () => {
  let scratch: string;
  before(async () => {
    scratch = await mkdtemp(join(tmpdir(), 'vicregl-output-'));
    await writeFile(join(scratch, 'file'), 'kept');
    await mkdir(join(scratch, 'folder'));
  });
  after(() => rm(scratch, { recursive: true, force: true }));

  it('are created with their parent folders, also concurrently', async () => {
    const path = join(scratch, 'created', 'a', 'b', 'c');
    await Promise.all([makeFolder(path), makeFolder(path), makeFolder(join(path, 'd'))]);
    assert.ok((await stat(join(path, 'd'))).isDirectory());
    await makeFolder(path);
  });

  it('on a file system that allows no new files are rejected immediately, with the path and the reason', async () => {
    const path = '/proc/vicregl/run';
    await assert.rejects(makeFolder(path), { code: 'ENOENT' });
    await assert.rejects(checkOutputFolder('--out', path), refused(path, /: nothing can be created there \(ENOENT\)$/));
    const file = '/proc/vicregl.json';
    await assert.rejects(checkOutputFile('--out', file), refused(file, /\((ENOENT|EACCES|EPERM)\)$/));
  });

  it('below a file, and folders in place of a file, are rejected', async () => {
    const under = join(scratch, 'file', 'run');
    await assert.rejects(makeFolder(under), { code: 'ENOTDIR' });
    await assert.rejects(checkOutputFolder('--out', under), refused(under, /is a file, not a folder \(ENOTDIR\)/));
    const itself = join(scratch, 'file');
    await assert.rejects(checkOutputFolder('--out', itself), refused(itself, /ENOTDIR/));
    await assert.rejects(checkOutputFile('--out', under), refused(under, /ENOTDIR/));
    const folder = join(scratch, 'folder');
    await assert.rejects(checkOutputFile('--out', folder), refused(folder, /it is a folder \(EISDIR\)/));
    const alone = join(scratch, 'none', 'a.json');
    await assert.rejects(checkOutputFile('--out', alone), refused(alone, /there is no folder .*none; create it first/));
    const long = join(scratch, 'x'.repeat(300));
    await assert.rejects(checkOutputFolder('--out', long), refused(long, /too long/));
  });

  it('that can be written are not changed by the check', async () => {
    const before = (await readdir(scratch)).sort();
    await checkOutputFolder('--out', join(scratch, 'folder'));
    await checkOutputFolder('--out', join(scratch, 'new', 'run'));
    await checkOutputFile('--out', join(scratch, 'new.json'));
    await checkOutputFile('--out', join(scratch, 'file'));
    await checkOutputFile('--out', '/dev/null');
    assert.deepEqual((await readdir(scratch)).sort(), before);
    assert.equal(await readFile(join(scratch, 'file'), 'utf8'), 'kept');
    assert.deepEqual(await readdir(join(scratch, 'folder')), []);
  });

  it('on a read-only or full disk are rejected with the reason', async (t) => {
    const disk = join(scratch, 'disk');
    await mkdir(disk);
    try {
      execFileSync('mount', ['-t', 'tmpfs', '-o', 'ro', 'tmpfs', disk], { stdio: 'ignore' });
    } catch {
      return t.skip('this user cannot mount a disk');
    }
    try {
      const run = join(disk, 'runs', 'first');
      await assert.rejects(checkOutputFolder('--out', run), refused(run, /the file system is read-only \(EROFS\)/));
      const file = join(disk, 'a.json');
      await assert.rejects(checkOutputFile('--out', file), refused(file, /the file system is read-only \(EROFS\)/));
      execFileSync('mount', ['-o', 'remount,rw,nr_inodes=1', disk]);
      await assert.rejects(checkOutputFolder('--out', run), refused(run, /no space left on the device \(ENOSPC\)/));
    } finally {
      execFileSync('umount', [disk]);
    }
  });

  it('that are special files are written to directly and not replaced', async () => {
    const pipe = join(scratch, 'pipe');
    execFileSync('mkfifo', [pipe]);
    const [content] = await Promise.all([readFile(pipe, 'utf8'), writeOutputFile('--out', pipe, 'figures')]);
    assert.equal(content, 'figures');
    assert.ok((await stat(pipe)).isFIFO());
    const file = join(scratch, 'figures.json');
    await writeOutputFile('--out', file, '1');
    await writeOutputFile('--out', file, '2');
    assert.equal(await readFile(file, 'utf8'), '2');
  });

  it('that can be written in part only keep what is there, and are named in the error', async (t) => {
    const disk = join(scratch, 'small');
    if (!smallDisk(t, disk, 64 * 1024)) return;
    const file = join(disk, 'a.png');
    await writeFile(file, 'kept');
    for (const content of [Buffer.alloc(100_000, 1), 'x'.repeat(100_000)]) {
      const writing = writeOutputFile('--out', file, content);
      await assert.rejects(writing, refused(file, /no space left on the device \(ENOSPC\)$/));
      assert.equal(await readFile(file, 'utf8'), 'kept');
      assert.deepEqual(await readdir(disk), ['a.png']);
    }
  });

  it('are named in errors during writing', async () => {
    const path = join(scratch, 'full.json');
    const full = async () => {
      throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    };
    await assert.rejects(writeOutput('--out', path, full), refused(path, /no space left on the device \(ENOSPC\)/));
    const coded = Object.assign(new Error('no service'), { code: 'UNAVAILABLE' });
    for (const other of [new TypeError('not a system error'), coded]) {
      const failing = writeOutput('--out', path, () => Promise.reject(other));
      await assert.rejects(failing, (error) => error === other);
    }
  });
});
