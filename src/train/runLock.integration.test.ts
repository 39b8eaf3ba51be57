import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, it } from 'node:test';
import { lockRun } from './runLock.js';

let run: string;
beforeEach(async () => {
  run = await mkdtemp(join(tmpdir(), 'vicregl-lock-'));
});
afterEach(() => rm(run, { recursive: true }));

const held = (holder: object) => writeFile(join(run, 'run.lock'), JSON.stringify(holder));

describe('the lock of a run', () => {
  it('has one holder at a time, and leaves no file', async () => {
    const lock = await lockRun(run);
    await assert.rejects(lockRun(run), {
      name: 'RunLockError',
      message: `process ${process.pid} on ${hostname()} is training into ${run}; wait for it, stop it, or choose another --out`,
    });
    await lock.release();
    assert.deepEqual(await readdir(run), []);
    await (await lockRun(run)).release();
  });

  it('of an exited process is taken over', async () => {
    const child = spawn(process.execPath, ['-e', '']);
    await once(child, 'exit');
    await held({ pid: child.pid, host: hostname() });
    const lock = await lockRun(run);
    assert.equal(JSON.parse(await readFile(join(run, 'run.lock'), 'utf8')).pid, process.pid);
    assert.deepEqual(await readdir(run), ['run.lock']);
    await lock.release();
  });

  it('is taken over if its process id now belongs to another process', {
    skip: process.platform !== 'linux',
  }, async () => {
    await held({ pid: process.pid, host: hostname(), began: '1' });
    await (await lockRun(run)).release();
  });

  it('of another machine, or one that cannot be read, is reported and kept', async () => {
    await held({ pid: 1, host: 'elsewhere' });
    await assert.rejects(
      lockRun(run),
      /process 1 on elsewhere is training into .*; if it has ended, remove .*run\.lock/,
    );
    await writeFile(join(run, 'run.lock'), '{');
    await assert.rejects(lockRun(run), /an unknown process is training into .*; if it has ended, remove .*run\.lock/);
    assert.equal(await readFile(join(run, 'run.lock'), 'utf8'), '{');
  });
});
