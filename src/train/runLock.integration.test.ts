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

  it('of an earlier start of the same Slurm job is taken over, on whatever node that was', async () => {
    const job = (restarts?: string) => ({
      SLURM_JOB_ID: '77',
      SLURM_CLUSTER_NAME: 'blue',
      ...(restarts && { SLURM_RESTART_COUNT: restarts }),
    });
    await lockRun(run, job());
    const written = JSON.parse(await readFile(join(run, 'run.lock'), 'utf8'));
    assert.deepEqual(written.slurm, { job: 'blue/77', restarts: 0 });
    // This process lives: it is not overruled, whatever its job.
    await assert.rejects(lockRun(run, job('1')), { name: 'RunLockError' });

    const gone = { ...written, host: 'node17' };
    for (const other of [{}, job(), { ...job('1'), SLURM_JOB_ID: '78' }, { ...job('1'), SLURM_CLUSTER_NAME: 'red' }]) {
      await held(gone);
      await assert.rejects(lockRun(run, other), /process \d+ on node17 is training into /);
    }
    const lock = await lockRun(run, job('1'));
    assert.deepEqual(JSON.parse(await readFile(join(run, 'run.lock'), 'utf8')), {
      ...written,
      slurm: { job: 'blue/77', restarts: 1 },
    });
    assert.deepEqual(await readdir(run), ['run.lock']);
    await held({ ...gone, slurm: { job: 'blue/77', restarts: 2 } });
    await assert.rejects(lockRun(run, job('1')), { name: 'RunLockError' });
    await lock.release();
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
