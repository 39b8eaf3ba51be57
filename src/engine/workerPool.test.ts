import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { EngineError } from './engine.js';
import type { Work } from './messages.js';
import { createWorkerPool, type PoolWorker } from './workerPool.js';

const work: Work = { kind: 'run', wants: ['maps'] };

/** A worker whose work is answered, and which dies, when the test says so. */
function fakeWorker(pid: number) {
  let end: (how: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    end = resolve;
  });
  const answers: (() => void)[] = [];
  const worker: PoolWorker = {
    pid,
    rssBytes: 1,
    ended,
    work: () =>
      new Promise((resolve, reject) => {
        answers.push(() => resolve({}));
        ended.then((how) => reject(new EngineError('unavailable', how)));
      }),
    close: async () => end('closed'),
  };
  return { worker, die: (how: string) => end(how), answer: () => answers.shift()!() };
}

/** A pool of one worker; each further start takes the next outcome: a worker, or an error. */
function poolOf(first: PoolWorker, outcomes: (PoolWorker | Error)[]) {
  const logged: string[] = [];
  const states: string[] = [];
  const pool = createWorkerPool({
    workers: [first],
    start: async () => {
      const outcome = outcomes.shift();
      if (outcome === undefined) return new Promise(() => {});
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    log: (line) => logged.push(line),
    backOff: { firstMs: 1, longestMs: 4, wellMs: 60_000 },
  });
  const unwatch = pool.watch(() => states.push(pool.status.state));
  const reached = async (state: string): Promise<void> => {
    while (pool.status.state !== state) await turn();
  };
  return { pool, logged, states, unwatch, reached };
}

describe('worker pool', () => {
  it('gives work to free workers in order, and lets the rest wait', async () => {
    const [a, b] = [fakeWorker(1), fakeWorker(2)];
    const pool = createWorkerPool({ workers: [a.worker, b.worker], start: async () => a.worker, log: () => {} });
    const done: number[] = [];
    const runs = [1, 2, 3].map((i) => pool.work(work, {}).then(() => done.push(i)));
    await turn();
    assert.equal(pool.idle, 0);
    b.answer();
    await turn();
    assert.deepEqual(done, [2]);
    b.answer();
    a.answer();
    await Promise.all(runs);
    assert.equal(pool.idle, 2);
    assert.ok(pool.status.busySeconds >= 0);
    await pool.close();
    await assert.rejects(pool.work(work, {}), { code: 'unavailable', message: /closed/ });
  });

  it('starts again at once, then after longer and longer pauses while workers keep dying', async () => {
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const third = fakeWorker(3);
    const { pool, logged, reached } = poolOf(first.worker, [
      second.worker,
      new EngineError('unavailable', 'no memory'),
      new EngineError('unavailable', 'no memory'),
      third.worker,
    ]);
    first.die('ended (signal SIGKILL)');
    await turn();
    await reached('ready');
    second.die('ended (signal SIGSEGV)');
    await turn();
    await reached('ready');
    assert.deepEqual(
      logged.filter((line) => line.includes('another is started')),
      [
        'ended (signal SIGKILL); another is started now',
        'ended (signal SIGSEGV); another is started in 1 ms',
        'no memory; another is started in 2 ms',
        'no memory; another is started in 4 ms',
      ],
    );
    assert.equal(pool.status.restarts, 2);
    await pool.close();
  });

  it('lets work wait for a worker that is starting, and refuses it when none can be started', async () => {
    const first = fakeWorker(1);
    const { pool, reached } = poolOf(first.worker, [new EngineError('unavailable', 'no graph')]);
    const running = assert.rejects(pool.work(work, {}), { code: 'unavailable', message: 'ended (exit code 1)' });
    const waiting = assert.rejects(pool.work(work, {}), { code: 'unavailable', message: /no graph.*on its way/ });
    await turn();
    first.die('ended (exit code 1)');
    await Promise.all([running, waiting]);
    await reached('recovering');
    await pool.close();
  });
});
