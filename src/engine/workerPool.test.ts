import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { until } from '../../test/support/until.js';
import { EngineError } from './engine.js';
import type { Work } from './messages.js';
import { createWorkerPool, type PoolWorker, type WorkerPool } from './workerPool.js';

const work: Work = { kind: 'run', wants: ['maps'] };

/** A worker that answers and exits under control of the test. */
function fakeWorker(pid: number) {
  let end: (how: string) => void = () => {};
  const ended = new Promise<string>((resolve) => {
    end = resolve;
  });
  const asks: { answer(): void; fail(error: EngineError): void }[] = [];
  let asked = 0;
  const worker: PoolWorker = {
    pid,
    rssBytes: 1,
    ended,
    work: () =>
      new Promise((resolve, reject) => {
        asked++;
        asks.push({ answer: () => resolve({}), fail: reject });
        ended.then((how) => reject(new EngineError('unavailable', how)));
      }),
    kill: (how) => end(how),
    close: async () => end('closed'),
  };
  return {
    worker,
    /** Tasks that it received. */
    get asked() {
      return asked;
    },
    die: (how: string) => end(how),
    answer: () => asks.shift()!.answer(),
    fail: (error: EngineError) => asks.shift()!.fail(error),
  };
}

/** The start of a worker that hangs until it is killed. */
function neverStarted(signal: AbortSignal): Promise<PoolWorker> {
  return new Promise((_, reject) => {
    signal.addEventListener('abort', () => reject(new EngineError('unavailable', 'killed at its start')));
  });
}

/** A pool of one worker; each further start takes the next outcome: a worker, or an error; without one it hangs. */
function poolOf(first: PoolWorker, outcomes: (PoolWorker | Error)[], workMs?: number, recoverMs?: number) {
  const logged: string[] = [];
  const states: string[] = [];
  const pool = createWorkerPool({
    workers: [first],
    start: async (_, signal): Promise<PoolWorker> => {
      const outcome = outcomes.shift();
      if (outcome === undefined) return neverStarted(signal);
      if (outcome instanceof Error) throw outcome;
      return outcome;
    },
    workMs,
    ...(recoverMs !== undefined && { recoverMs }),
    log: (line) => logged.push(line),
    backOff: { firstMs: 1, longestMs: 4, wellMs: 60_000 },
  });
  const unwatch = pool.watch(() => states.push(pool.status.state));
  const reached = (state: string): Promise<void> => until(() => pool.status.state === state);
  /** Waits until a worker has received so many tasks. */
  const given = (worker: { readonly asked: number }, count: number): Promise<void> =>
    until(() => worker.asked >= count);
  return { pool, logged, states, unwatch, reached, given };
}

describe('worker pool', () => {
  it('assigns tasks to idle workers in order, and queues the rest', async () => {
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

  it('restarts immediately, then with increasing delays while workers keep exiting', async () => {
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
      logged.filter((line) => line.includes('a replacement is started')),
      [
        'ended (signal SIGKILL); a replacement is started now',
        'ended (signal SIGSEGV); a replacement is started in 1 ms',
        'no memory; a replacement is started in 2 ms',
        'no memory; a replacement is started in 4 ms',
      ],
    );
    assert.deepEqual(pool.status.restarts, { died: 2, hung: 0, broken: 0 });
    await pool.close();
  });

  it('keeps tasks waiting for a worker that starts, and rejects them if none can be started', async () => {
    const first = fakeWorker(1);
    const { pool, reached } = poolOf(first.worker, [new EngineError('unavailable', 'no graph')]);
    const running = assert.rejects(pool.work(work, {}), { code: 'unavailable', message: 'ended (exit code 1)' });
    const waiting = assert.rejects(pool.work(work, {}), { code: 'unavailable', message: /no graph.*is being started/ });
    await turn();
    first.die('ended (exit code 1)');
    await Promise.all([running, waiting]);
    await reached('recovering');
    await pool.close();
  });

  it('rejects waiting tasks as unavailable if a replacement hangs at its start', async () => {
    const first = fakeWorker(1);
    // Its start never ends.
    const { pool, states } = poolOf(first.worker, [], undefined, 20);
    first.die('ended (exit code 1)');
    await turn();
    assert.equal(pool.status.state, 'recovering');
    await assert.rejects(pool.work(work, {}), {
      code: 'unavailable',
      message: /no inference worker is running \(ended/,
    });
    assert.deepEqual([pool.status.state, states.at(-1)], ['down', 'down']);
    await assert.rejects(pool.work(work, {}), { code: 'unavailable' }, 'immediately from now on');
    await pool.close();
  });

  it('kills and replaces a worker whose task exceeds its time, also an aborted search', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const [first, second, third] = [fakeWorker(1), fakeWorker(2), fakeWorker(3)];
    const { pool, logged, reached } = poolOf(first.worker, [second.worker, third.worker], 20);
    const hanging = assert.rejects(pool.work(work, {}), {
      code: 'unavailable',
      message: 'killed: its task took longer than 0.02 s',
    });
    await turn();
    t.mock.timers.tick(20);
    await hanging;
    await reached('ready');
    assert.equal(pool.status.workers[0]!.pid, 2);
    const controller = new AbortController();
    const searching = pool.work({ kind: 'nearest' }, {}, controller.signal);
    controller.abort(new Error('given up'));
    await assert.rejects(searching, /given up/);
    assert.equal(pool.idle, 0, 'the worker still counts as busy');
    t.mock.timers.tick(20);
    await second.worker.ended;
    await turn();
    t.mock.timers.tick(4); // The longest delay before a restart.
    await reached('ready');
    assert.equal(pool.status.workers[0]!.pid, 3);
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 2, broken: 0 });
    assert.match(logged[0]!, /killed: its task took longer than 0\.02 s; a replacement is started now/);
    const answered = pool.work(work, {});
    await turn();
    third.answer();
    await answered;
    third.die('ended (signal SIGSEGV)');
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 2, broken: 0 }, 'one that answered is not killed');
    await pool.close();
  });

  it('with blamesWork, restarts without a delay whenever a worker exits during a task', async () => {
    const workers = [1, 2, 3, 4].map(fakeWorker);
    const logged: string[] = [];
    const rest = workers.slice(1);
    const pool = createWorkerPool({
      workers: [workers[0]!.worker],
      start: async (_, signal): Promise<PoolWorker> => rest.shift()?.worker ?? neverStarted(signal),
      blamesWork: true,
      log: (line) => logged.push(line),
      backOff: { firstMs: 60_000, longestMs: 60_000, wellMs: 60_000 },
    });
    for (const [i, worker] of workers.slice(0, 3).entries()) {
      const done = assert.rejects(pool.work(work, {}), { code: 'unavailable' });
      await turn();
      worker.die('ended (signal SIGSEGV)');
      await done;
      await until(() => pool.idle > 0);
      assert.equal(pool.status.restarts.died, i + 1);
    }
    // It exits while it is idle.
    workers[3]!.die('ended (exit code 1)');
    await turn();
    assert.deepEqual(
      logged.filter((line) => line.includes('a replacement is started')),
      [
        ...Array.from({ length: 3 }, () => 'ended (signal SIGSEGV); a replacement is started now'),
        'ended (exit code 1); a replacement is started in 60000 ms',
      ],
    );
    await pool.close();
  });

  it('kills a worker that continues an aborted task', async () => {
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const pool = createWorkerPool({
      workers: [first.worker],
      start: async (): Promise<PoolWorker> => second.worker,
      givenUpMs: 20,
      log: () => {},
    });
    const controller = new AbortController();
    const done = pool.work(work, {}, controller.signal);
    await turn();
    controller.abort(new Error('given up'));
    await assert.rejects(done, /given up/);
    assert.match(await first.worker.ended, /its task was aborted and did not end within 0\.02 s/);
    while (pool.idle === 0) await turn();
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 1, broken: 0 });
    await pool.close();
  });

  it('terminate rejects running and waiting tasks as unavailable, and starts no replacement', async () => {
    const first = fakeWorker(1);
    const toStart = [fakeWorker(2).worker];
    const { pool, logged } = poolOf(first.worker, toStart);
    const running = assert.rejects(pool.work(work, {}), {
      code: 'unavailable',
      message: /^killed: the engine is closed/,
    });
    const waiting = assert.rejects(pool.work(work, {}), { code: 'unavailable', message: 'the engine is closed' });
    await turn();
    const closed = pool.close();
    pool.terminate();
    await Promise.all([running, waiting, closed]);
    assert.equal(first.asked, 1);
    assert.equal(toStart.length, 1);
    assert.deepEqual(logged, []);
    await assert.rejects(pool.work(work, {}), { code: 'unavailable', message: 'the engine is closed' });
  });

  for (const how of ['terminate', 'close'] as const) {
    it(`${how} kills a worker that is starting, and a close waits for its end`, async () => {
      const first = fakeWorker(1);
      let end = (): void => {};
      let killed = false;
      const logged: string[] = [];
      const pool = createWorkerPool({
        workers: [first.worker],
        start: (_, signal) =>
          new Promise<PoolWorker>((_resolve, reject) => {
            end = () => reject(new EngineError('unavailable', 'killed'));
            signal.addEventListener('abort', () => {
              killed = true;
            });
          }),
        log: (line) => logged.push(line),
      });
      first.die('ended (signal SIGKILL)');
      await until(() => pool.status.workers[0]!.state === 'starting');
      if (how === 'terminate') pool.terminate();
      let closed = false;
      const closing = pool.close().then(() => {
        closed = true;
      });
      await turn();
      assert.deepEqual([killed, closed], [true, false]);
      end();
      await closing;
      assert.equal(pool.status.workers[0]!.state, 'failed');
      assert.deepEqual(pool.status.startFailures, { model_changed: 0, other: 0 }, 'it was killed by its owner');
      assert.deepEqual(logged, ['ended (signal SIGKILL); a replacement is started now']);
    });
  }

  it('close waits for a worker that starts while a task waits for it', async () => {
    const first = fakeWorker(1);
    const second = fakeWorker(2);
    let ready = (_: PoolWorker): void => {};
    const pool = createWorkerPool({
      workers: [first.worker],
      start: () =>
        new Promise<PoolWorker>((resolve) => {
          ready = resolve;
        }),
      log: () => {},
    });
    first.die('ended (signal SIGKILL)');
    await until(() => pool.status.workers[0]!.state === 'starting');
    const waiting = pool.work(work, {});
    const closing = pool.close();
    ready(second.worker);
    await until(() => second.asked === 1);
    second.answer();
    await Promise.all([waiting, closing]);
    assert.equal(await second.worker.ended, 'closed');
  });

  it('terminate kills a replacement that is being warmed up', async () => {
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const { pool, given } = poolOf(first.worker, [second.worker]);
    const warming = pool.warm(async (workOf) => void (await workOf(work, {})));
    first.answer();
    await warming;
    first.die('ended (signal SIGKILL)');
    await given(second, 1);
    pool.terminate();
    await pool.close();
    assert.equal(await second.worker.ended, 'killed: the engine is closed');
  });

  it('does not replace a worker that exits while the pool closes', async () => {
    const first = fakeWorker(1);
    const toStart = [fakeWorker(2).worker];
    const { pool, logged } = poolOf(first.worker, toStart);
    const running = assert.rejects(pool.work(work, {}), { code: 'unavailable' });
    await turn();
    const closed = pool.close();
    first.die('ended (signal SIGKILL)');
    await Promise.all([running, closed]);
    assert.deepEqual(logged, []);
    assert.equal(toStart.length, 1);
  });

  it('warms up the first workers, and each replacement before its first task', async () => {
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const { pool, logged, given } = poolOf(first.worker, [second.worker]);
    const warming = pool.warm(async (workOf) => void (await workOf(work, {})));
    assert.equal(pool.idle, 0);
    first.answer();
    await warming;
    assert.equal(pool.idle, 1);

    first.die('ended (signal SIGKILL)');
    // The pool is notified only in the next turn of the event loop.
    await assert.rejects(pool.work(work, {}), { code: 'unavailable', message: 'ended (signal SIGKILL)' });
    const done: string[] = [];
    const waiting = pool.work(work, {}).then(() => done.push('work'));
    await given(second, 1);
    assert.deepEqual([pool.status.state, second.asked], ['recovering', 1], 'only the warm-up has begun');
    second.answer();
    await given(second, 2);
    assert.equal(pool.status.state, 'ready');
    assert.deepEqual(done, []);
    second.answer();
    await waiting;
    assert.match(logged.at(-1)!, /worker 2 replaced a lost one/);
    await pool.close();
  });

  it('treats a replacement whose warm-up fails as one that failed to start, and closes it', async () => {
    const [first, second, third] = [fakeWorker(1), fakeWorker(2), fakeWorker(3)];
    const { pool, logged, reached } = poolOf(first.worker, [second.worker, third.worker]);
    let warmed = 0;
    await pool.warm(async () => {
      warmed++;
      if (warmed === 2) throw new EngineError('out_of_memory', 'no memory');
    });
    first.die('ended (signal SIGKILL)');
    await turn();
    await reached('ready');
    assert.equal(await second.worker.ended, 'closed');
    assert.deepEqual([pool.status.workers[0]!.pid, warmed], [3, 3]);
    assert.equal(logged[1], 'no memory; a replacement is started in 1 ms');
    await pool.close();
  });

  /** Warms up a pool without a task; a worker that failed is checked by one task. */
  const warmChecked = (pool: WorkerPool): Promise<void> =>
    pool.warm(
      async () => {},
      async (workOf, failed) => void (await workOf(failed, {})),
    );
  const illegal = new EngineError('internal', 'CUDA failure 700: an illegal memory access was encountered');

  it('replaces a worker whose task and then check fail, and gives it no further task', async () => {
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const { pool, logged, given, reached } = poolOf(first.worker, [second.worker]);
    await warmChecked(pool);
    const [failing, waiting] = [assert.rejects(pool.work(work, {}), illegal), pool.work(work, {})];
    await given(first, 1);
    first.fail(illegal);
    await failing;
    await given(first, 2);
    assert.deepEqual([pool.idle, pool.status.workers[0]!.state], [0, 'busy'], 'it is checked');
    first.fail(illegal);
    await given(second, 1);
    assert.equal(first.asked, 2, 'the work that waited went to it');
    second.answer();
    await waiting;
    await reached('ready');
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 0, broken: 1 });
    assert.match(logged[0]!, /^worker 1 failed a task and then its check: CUDA failure 700/);
    assert.match(logged[1]!, /^killed: its task failed, and then its check; a replacement is started now/);
    await pool.close();
  });

  it('keeps a worker whose check succeeds after a failed task', async () => {
    const first = fakeWorker(1);
    const { pool, logged, given } = poolOf(first.worker, []);
    await warmChecked(pool);
    const failing = assert.rejects(pool.work(work, {}), illegal);
    await given(first, 1);
    first.fail(illegal);
    await failing;
    const waiting = pool.work(work, {});
    await given(first, 2);
    first.answer();
    await given(first, 3);
    first.answer();
    await waiting;
    assert.deepEqual([pool.idle, pool.status.workers[0]!.pid, logged], [1, 1, []]);
    await pool.close();
  });

  it('does not check a worker after a failure that does not concern its runtime', async () => {
    const first = fakeWorker(1);
    const { pool, given } = poolOf(first.worker, []);
    await warmChecked(pool);
    const running = assert.rejects(pool.work(work, {}), { code: 'out_of_memory' });
    await given(first, 1);
    first.fail(new EngineError('out_of_memory', 'memory ran out'));
    await running;
    const controller = new AbortController();
    const searching = assert.rejects(pool.work({ kind: 'nearest' }, {}, controller.signal), /given up/);
    await given(first, 2);
    controller.abort(new Error('given up'));
    await searching;
    first.fail(new EngineError('internal', 'inference failed: cancelled'));
    await until(() => pool.idle > 0);
    assert.equal(first.asked, 2);
    await pool.close();
  });

  it('kills a worker whose check exceeds its time', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    const [first, second] = [fakeWorker(1), fakeWorker(2)];
    const { pool, logged, given, reached } = poolOf(first.worker, [second.worker], 20);
    await warmChecked(pool);
    const failing = assert.rejects(pool.work(work, {}), illegal);
    await given(first, 1);
    first.fail(illegal);
    await failing;
    await given(first, 2);
    t.mock.timers.tick(19);
    await turn();
    assert.equal(pool.status.restarts.hung, 0);
    t.mock.timers.tick(1);
    await first.worker.ended;
    await turn();
    await reached('ready');
    assert.equal(first.asked, 2);
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 1, broken: 0 });
    assert.match(logged[0]!, /^killed: its task took longer than 0\.02 s; a replacement is started now/);
    await pool.close();
  });

  it('increases the delay while replacements also fail their checks, and is down if none can be warmed up', async () => {
    const [first, second, third] = [fakeWorker(1), fakeWorker(2), fakeWorker(3)];
    const { pool, logged, states, given, reached } = poolOf(first.worker, [second.worker, third.worker]);
    let warmed = 0;
    await pool.warm(
      async () => {
        warmed++;
        if (warmed === 3) throw illegal;
      },
      async (workOf, failed) => void (await workOf(failed, {})),
    );
    for (const worker of [first, second]) {
      await reached('ready');
      const failing = assert.rejects(pool.work(work, {}), illegal);
      await given(worker, 1);
      worker.fail(illegal);
      await failing;
      await given(worker, 2);
      worker.fail(illegal);
      await worker.worker.ended;
      await turn();
    }
    const starts = (): string[] => logged.flatMap((line) => /a replacement is started.*/.exec(line) ?? []);
    while (starts().length < 3) await turn();
    assert.equal(await third.worker.ended, 'closed');
    assert.deepEqual(starts(), [
      'a replacement is started now',
      'a replacement is started in 1 ms',
      'a replacement is started in 2 ms',
    ]);
    assert.ok(states.includes('down'));
    assert.deepEqual(pool.status.restarts, { died: 0, hung: 0, broken: 1 });
    await pool.close();
  });

  it('closes without checking a worker that no task waits for', async () => {
    const first = fakeWorker(1);
    const { pool, logged, given } = poolOf(first.worker, []);
    await warmChecked(pool);
    const failing = assert.rejects(pool.work(work, {}), illegal);
    await given(first, 1);
    const closed = pool.close();
    first.fail(illegal);
    await Promise.all([failing, closed]);
    assert.deepEqual([first.asked, logged], [1, []]);
  });
});
