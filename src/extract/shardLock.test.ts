import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { ExtractError } from './extractError.js';
import { lockShard } from './shardLock.js';

const times = { aliveMs: 10, silentMs: 300 };
const inUse = (error: unknown) => error instanceof ExtractError && error.code === 'in_use';

describe('the lock of a shard', () => {
  let path: string;
  before(async () => {
    path = join(await mkdtemp(join(tmpdir(), 'vicregl-shard-lock-')), 'shard.lock');
  });
  after(() => rm(join(path, '..'), { recursive: true }));
  const elsewhere = () => writeFile(path, JSON.stringify({ pid: 1, host: 'another machine' }));

  it('is refused while a process of this machine has it, and free afterwards', async () => {
    const lock = await lockShard(path, () => {});
    await assert.rejects(
      lockShard(path, () => {}),
      (error) => inUse(error) && (error as Error).message.includes(`process ${process.pid}`),
    );
    await lock.release();
    await (await lockShard(path, () => {})).release();
  });

  it('of a process on another machine is taken over if it gives no sign of life', async () => {
    await elsewhere();
    const notes: string[] = [];
    const lock = await lockShard(path, (text) => notes.push(text), times);
    assert.match(notes[0]!, /process 1 on another machine; waiting/);
    assert.equal(JSON.parse(await readFile(path, 'utf8')).pid, process.pid);
    await lock.release();
  });

  it('of a process on another machine is not waited for after a signal', async () => {
    await elsewhere();
    const stop = new AbortController();
    // Without the signal it would wait for ten minutes.
    const waiting = lockShard(path, () => stop.abort(), { silentMs: 600_000, signal: stop.signal });
    await assert.rejects(waiting, (error) => error instanceof ExtractError && error.code === 'stopped');
    assert.equal(JSON.parse(await readFile(path, 'utf8')).pid, 1);
    await rm(path);
  });

  it('of a process on another machine that lives is left alone', async () => {
    await elsewhere();
    let second = 1;
    const alive = setInterval(() => void utimes(path, second, second++), 20);
    await assert.rejects(
      lockShard(path, () => {}, times),
      inUse,
    );
    clearInterval(alive);
    assert.equal(JSON.parse(await readFile(path, 'utf8')).pid, 1);
    await rm(path);
  });
});
