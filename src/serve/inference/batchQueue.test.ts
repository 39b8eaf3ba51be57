import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import {
  call,
  embedding,
  gatedEngine,
  image,
  isServeError,
  limits,
  manifest,
  timedQueue,
} from '../../../test/support/batchQueues.js';
import { EngineError, type ImageBatch, type OutputName } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { ServeError } from '../call/serveError.js';
import { createBatchQueue } from './batchQueue.js';

describe('batch queue', () => {
  test('images of one event loop turn share a batch; those that arrive meanwhile share the next', async () => {
    const engine = gatedEngine();
    const seen: number[] = [];
    const queue = createBatchQueue(engine, limits, { batch: (images) => seen.push(images) });
    const offer = (...values: number[]) => values.map((value) => queue.run(image(value), embedding, call()));
    const first = offer(1, 2);
    await turn();
    assert.deepEqual(engine.sizes(), [2]);
    const later = offer(3, 4, 5);
    assert.equal(queue.depth, 3);
    await engine.letOneGo();
    await engine.letOneGo();
    assert.deepEqual(engine.sizes(), [2, 3]);
    assert.deepEqual(seen, [2, 3]);
    await Promise.all([...first, ...later]);
  });

  test('an observer that throws fails its own batch, and the queue continues', async () => {
    const engine = createFakeEngine({ manifest });
    let batches = 0;
    const queue = createBatchQueue(engine, limits, {
      batch() {
        if (++batches === 1) throw new Error('no more metrics');
      },
    });
    await assert.rejects(queue.run(image(1), embedding, call()), /no more metrics/);
    const observe = () => {
      throw new Error('not observed');
    };
    await assert.rejects(queue.run(image(2), embedding, { ...call(), observe }), /not observed/);
    assert.ok((await queue.run(image(3), embedding, call())).representation);
    await queue.close();
  });

  test('every image gets its own result, the same as alone', async () => {
    const engine = createFakeEngine({ manifest, delayMs: 2 });
    const queue = createBatchQueue(engine, limits);
    const together = await Promise.all([10, 20, 30].map((value) => queue.run(image(value), embedding, call())));
    for (const [i, value] of [10, 20, 30].entries()) {
      const alone = await queue.run(image(value), embedding, call());
      assert.deepEqual(together[i], alone);
      assert.deepEqual(alone.representation?.shape, [1, 16]);
    }
  });

  test('images of another size or with other outputs are not in the batch, and none starves', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, limits);
    const answers = [
      queue.run(image(1), embedding, call()),
      queue.run(image(2), embedding, call()),
      queue.run(image(3, 16), embedding, call()),
      queue.run(image(4), new Set<OutputName>(['maps']), call()),
      queue.run(image(5), embedding, call()),
    ];
    await turn();
    for (let i = 0; i < 3; i++) await engine.letOneGo();
    await Promise.all(answers);
    assert.deepEqual(
      engine.batches.map(({ shape }) => shape),
      [
        [3, 8, 8, 3],
        [1, 8, 16, 3],
        [1, 8, 8, 3],
      ],
    );
  });

  test('a batch has at most batchImages images and batchPixels pixels', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, batchImages: 3, batchPixels: 2 * 64 });
    const answers = [1, 2, 3, 4].map((value) => queue.run(image(value), embedding, call()));
    const large = queue.run(image(5, 64), embedding, call());
    await turn();
    for (let i = 0; i < 3; i++) await engine.letOneGo();
    await Promise.all([...answers, large]);
    assert.deepEqual(engine.sizes(), [2, 2, 1]);
  });

  test('full by images or by bytes: rejects as overloaded, and the queue continues', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, queueImages: 2 });
    const answers = [1, 2].map((value) => queue.run(image(value), embedding, call()));
    await assert.rejects(queue.run(image(4), embedding, call()), isServeError('overloaded', /queue is full: 2 images/));
    await turn();
    await engine.letOneGo();
    await Promise.all(answers);
    const small = createBatchQueue(engine, { ...limits, queueBytes: 100 });
    await assert.rejects(
      small.run(image(4), embedding, call()),
      isServeError(
        'overloaded',
        /queueImages: 8\), 0 bytes are held \(queueBytes: 100\), and this image has \d+; ask for a smaller size/,
      ),
    );
  });

  test('an aborted call is removed from the queue immediately and never reaches the engine', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, limits);
    const first = queue.run(image(1), embedding, call());
    await turn();
    const controller = new AbortController();
    const second = queue.run(image(2), embedding, call(controller.signal));
    assert.equal(queue.depth, 1);
    controller.abort(new ServeError('deadline_exceeded', 'too late'));
    await assert.rejects(second, isServeError('deadline_exceeded', /too late/));
    assert.equal(queue.depth, 0);
    await engine.letOneGo();
    await first;
    assert.deepEqual(engine.sizes(), [1]);
    await assert.rejects(
      queue.run(image(3), embedding, call(controller.signal)),
      isServeError('deadline_exceeded', /late/),
    );
  });

  test('a call aborted while it runs is answered immediately; the others of its batch are not affected', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, limits);
    const controller = new AbortController();
    const gone = queue.run(image(1), embedding, call(controller.signal));
    await turn();
    const next = queue.run(image(2), embedding, call());
    controller.abort(new ServeError('cancelled', 'the caller gave up'));
    await assert.rejects(gone, isServeError('cancelled', /gave up/));
    await engine.letOneGo();
    await engine.letOneGo();
    assert.ok((await next).representation);
  });

  test('a failed run rejects its own images only', async () => {
    let runs = 0;
    const engine = createFakeEngine({
      manifest,
      failWith: () => (++runs === 1 ? new EngineError('internal', 'it broke') : undefined),
    });
    const queue = createBatchQueue(engine, limits);
    const broken = queue.run(image(1), embedding, call());
    const whole = queue.run(image(2, 16), embedding, call());
    await assert.rejects(broken, /it broke/);
    assert.ok((await whole).representation);
  });

  test('close finishes accepted images and rejects the rest', async () => {
    const engine = createFakeEngine({ manifest, delayMs: 5 });
    const queue = createBatchQueue(engine, limits);
    const answers = [1, 2, 3].map((value) => queue.run(image(value), embedding, call()));
    const closed = queue.close();
    await assert.rejects(queue.run(image(9), embedding, call()), isServeError('shutting_down', /another one/));
    await closed;
    assert.equal((await Promise.all(answers)).length, 3);
  });

  test('every idle worker takes a batch of its own', async () => {
    const engine = gatedEngine(2);
    const queue = createBatchQueue(engine, { ...limits, batchImages: 2 });
    const answers = [1, 2, 3, 4, 5, 6].map((value) => queue.run(image(value), embedding, call()));
    await turn();
    assert.deepEqual(engine.sizes(), [2, 2]);
    assert.equal(queue.depth, 2);
    await engine.letOneGo();
    assert.deepEqual(engine.sizes(), [2, 2, 2]);
    await engine.letOneGo();
    await engine.letOneGo();
    await Promise.all(answers);
  });

  test('with a delay, a batch waits for more images until it is full or its oldest image has waited', async (t) => {
    t.mock.timers.enable({ apis: ['setTimeout'] });
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const pass = async (ms: number): Promise<void> => {
      now += ms;
      t.mock.timers.tick(ms);
      await turn();
    };
    const engine = createFakeEngine({ manifest });
    const seen: number[] = [];
    const queue = createBatchQueue(
      engine,
      { ...limits, batchImages: 2, maxQueueDelayMs: 20 },
      { batch: (images) => seen.push(images) },
    );
    const alone = queue.run(image(1), embedding, call());
    await turn();
    await pass(19);
    assert.deepEqual(seen, []);
    await pass(1);
    assert.deepEqual(seen, [1]);
    await alone;
    const first = queue.run(image(2), embedding, call());
    await turn();
    assert.deepEqual(seen, [1]);
    await Promise.all([first, queue.run(image(3), embedding, call())]);
    assert.deepEqual(seen, [1, 2]);
    await queue.close();
  });

  test('a batch that waits for more images does not delay a full one of another size', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, batchImages: 2, maxQueueDelayMs: 60_000 });
    const waiting = queue.run(image(1), embedding, call());
    const full = [2, 3].map((value) => queue.run(image(value, 64), embedding, call()));
    await turn();
    await engine.letOneGo();
    await Promise.all(full);
    assert.deepEqual(engine.sizes(), [2]);
    void waiting.catch(() => {});
    const closing = queue.close();
    await turn();
    await engine.letOneGo();
    await Promise.all([waiting, closing]);
    assert.deepEqual(engine.sizes(), [2, 1]);
  });

  test('rejections are immediate, name their limit, and have a retry hint from the measured rate', async (t) => {
    const { queue, letOneGoAfter, runFor } = timedQueue(t, { queueImages: 4 });
    for (let i = 0; i < 3; i++) await runFor(40, image(i));
    const answers = [1, 2, 3, 4].map((value) => queue.run(image(value), embedding, call()));
    await assert.rejects(queue.run(image(5), embedding, call()), (error: ServeError) => {
      assert.equal(error.code, 'overloaded');
      assert.deepEqual(error.limit, { name: 'queueImages', value: 4 });
      // 4 images of 40 ms, of which half must finish.
      assert.equal(error.retryAfterSeconds, 0.08);
      return true;
    });
    for (let i = 0; i < 4; i++) await letOneGoAfter(40);
    await Promise.all(answers);
  });

  test('a deadline that cannot be met is rejected immediately; an image whose deadline passes in the queue is dropped before inference', async (t) => {
    const { engine, queue, within, letOneGoAfter, runFor } = timedQueue(t);
    const unknown = queue.run(image(1), embedding, call());
    await turn();
    // There is no estimate yet that would reject it; it waits, and its deadline passes.
    const late = assert.rejects(
      queue.run(image(2), embedding, within(40)),
      isServeError('deadline_exceeded', /passed before a worker was free/),
    );
    await letOneGoAfter(40);
    await Promise.all([unknown, late]);
    for (let i = 0; i < 2; i++) await runFor(40, image(i));
    const before = [1, 2, 3, 4].map((value) => queue.run(image(value), embedding, call()));
    await turn();
    // Half of the run of 40 ms, three that wait, and its own.
    await assert.rejects(
      queue.run(image(9), embedding, within(179)),
      isServeError(
        'deadline_exceeded',
        /in 179 ms cannot be met: 3 images wait before this one, for about 140 ms, and it takes 40 ms itself/,
      ),
    );
    const inTime = queue.run(image(9), embedding, within(180));
    for (let i = 0; i < 5; i++) await letOneGoAfter(i === 4 ? 0 : 40);
    await Promise.all([...before, inTime]);
    // Neither of the two that were rejected.
    assert.equal(engine.batches.length, 1 + 2 + 4 + 1);
  });

  test('under load, rejects by what stands before an image and by its own time; images being decoded count', async (t) => {
    const { queue, within, runFor, letOneGoAfter } = timedQueue(t);
    for (let i = 0; i < 4; i++) await runFor(10_000, image(i));
    const running = queue.run(image(5), embedding, call());
    await turn();
    await assert.rejects(
      queue.run(image(9), embedding, within(14_000)),
      isServeError(
        'deadline_exceeded',
        /0 images wait before this one, for about 5000 ms, and it takes 10000 ms itself/,
      ),
    );
    const accepted = queue.run(image(6), embedding, within(60_000));
    const places = [1, 2].map(() => queue.reserve(call()));
    assert.throws(
      () => queue.reserve(within(34_000)),
      (error: ServeError) => {
        assert.match(error.message, /3 images wait before this one, for about 35000 ms, and it takes 0 ms itself/);
        // Half of the time of the running image and of the one that waits.
        assert.equal(error.retryAfterSeconds, 7.5);
        return true;
      },
    );
    queue.reserve(within(60_000)).release();
    for (const place of places) place.release();
    for (let i = 0; i < 2; i++) await letOneGoAfter(10_000);
    await Promise.all([running, accepted]);
  });

  test('an idle worker runs an image whose deadline the estimate exceeds, and such runs correct the estimate', async (t) => {
    const { engine, queue, within, runFor, letOneGoAfter } = timedQueue(t, { workers: 2 });
    for (let i = 0; i < 3; i++) await runFor(90_000, image(i));
    const busy = queue.run(image(4), embedding, call());
    await turn();
    // One of two workers is idle. Both images of a Match, and images that are being decoded, may use it.
    const place = queue.reserve(within(30_000));
    queue.reserve(within(30_000)).release();
    const pair = [
      queue.run(image(5), embedding, within(30_000), place),
      queue.run(image(6), embedding, within(30_000)),
    ];
    await turn();
    assert.equal(queue.depth, 1);
    await assert.rejects(
      queue.run(image(7), embedding, within(30_000)),
      isServeError('deadline_exceeded', /cannot be met/),
    );
    for (let i = 0; i < 3; i++) await letOneGoAfter(i === 0 ? 20 : 0);
    await Promise.all([busy, ...pair]);
    const load = [1, 2, 3].map((value) => queue.run(image(value), embedding, call()));
    await turn();
    assert.equal(engine.idle, 0);
    load.push(queue.run(image(8), embedding, within(30_000)));
    for (let i = 0; i < 4; i++) await letOneGoAfter(20);
    await Promise.all(load);
  });

  test('small images, however slow by the pixel, do not cause the rejection of a large one', async (t) => {
    const { queue, within, runFor, letOneGoAfter } = timedQueue(t);
    for (let i = 0; i < 40; i++) await runFor(2, image(i));
    const small = queue.run(image(1), embedding, call());
    await turn();
    // 2 ms for 64 pixels would be 8 s for these.
    const large = queue.run(image(2, 512, 512), embedding, within(5000));
    await letOneGoAfter(2);
    await letOneGoAfter(1000);
    await Promise.all([small, large]);
  });

  test('while workers are busy with other work, nothing says that a deadline cannot be met', async (t) => {
    const { engine, queue, within, runFor } = timedQueue(t);
    for (let i = 0; i < 3; i++) await runFor(90_000, image(i));
    // As during a search of the engine.
    const search = engine.run({ dtype: 'uint8', shape: [1, 8, 8, 3], data: image(1).data }, embedding);
    const answer = queue.run(image(2), embedding, within(30_000));
    await engine.letOneGo();
    await engine.letOneGo();
    await Promise.all([search, answer]);
  });

  test('an image at which the runtime fails does not affect the others of its batch', async () => {
    const sizes: number[] = [];
    const engine = createFakeEngine({
      manifest,
      failWith: ({ shape, data }) => {
        sizes.push(shape[0]!);
        return data.includes(99) ? new EngineError('internal', 'kernel failed') : undefined;
      },
    });
    const queue = createBatchQueue(engine, { ...limits, batchImages: 8 });
    const values = [1, 2, 3, 99, 5, 6, 7, 8];
    const results = await Promise.allSettled(values.map((value) => queue.run(image(value), embedding, call())));
    assert.deepEqual(
      results.map((result) => (result.status === 'fulfilled' ? 'answered' : (result.reason as EngineError).code)),
      values.map((value) => (value === 99 ? 'internal' : 'answered')),
    );
    assert.deepEqual(sizes, [8, 1, 1, 1, 1, 1, 1, 1, 1]);
  });

  test('batches that were made smaller for lack of memory grow again after a minute', async (t) => {
    let now = 0;
    t.mock.method(performance, 'now', () => now);
    const sizes: number[] = [];
    let full = true;
    const engine = createFakeEngine({
      manifest,
      failWith: ({ shape }) => {
        sizes.push(shape[0]!);
        return full && shape[0]! > 1 ? new EngineError('out_of_memory', 'CUDA failure 2: out of memory') : undefined;
      },
    });
    const queue = createBatchQueue(engine, limits);
    const offer = () => Promise.all([1, 2, 3, 4].map((value) => queue.run(image(value), embedding, call())));
    await offer();
    full = false;
    sizes.length = 0;
    await offer();
    assert.deepEqual(sizes.splice(0), [1, 1, 1, 1]);
    now += 60_001;
    await offer();
    assert.deepEqual(sizes, [4]);
  });

  test('if memory runs out, halves are run, those that fit are answered, and later batches are smaller', async () => {
    const sizes: number[] = [];
    const engine = createFakeEngine({
      manifest,
      failWith: ({ shape, data }) => {
        sizes.push(shape[0]!);
        const tooMuch = shape[0]! > 2 || data[0] === 99;
        return tooMuch ? new EngineError('out_of_memory', 'CUDA failure 2: out of memory') : undefined;
      },
    });
    const queue = createBatchQueue(engine, limits);
    const offer = (...values: number[]) => values.map((value) => queue.run(image(value), embedding, call()));
    const results = await Promise.allSettled(offer(1, 2, 99, 3));
    assert.deepEqual(
      results.map(({ status }) => status),
      ['fulfilled', 'fulfilled', 'rejected', 'fulfilled'],
    );
    assert.deepEqual(sizes.splice(0), [4, 2, 2, 1, 1]);
    await Promise.all(offer(5, 6));
    assert.ok(
      sizes.every((size) => size <= 2),
      String(sizes),
    );
  });

  test('on CUDA batches are padded to powers of two, and the padding is not in the results', async () => {
    const fake = createFakeEngine({ manifest });
    const shapes: number[] = [];
    const engine = {
      ...{ provider: 'cuda' as const, status: fake.status, idle: 1, watch: fake.watch },
      run(batch: ImageBatch, wants: ReadonlySet<OutputName>) {
        shapes.push(batch.shape[0]!);
        return fake.run(batch, wants);
      },
    };
    const queue = createBatchQueue(engine, limits);
    const answers = await Promise.all([1, 2, 3].map((value) => queue.run(image(value), embedding, call())));
    assert.deepEqual(shapes, [4]);
    assert.deepEqual(answers[2], await queue.run(image(3), embedding, call()));
  });

  test('without a worker, waiting and new images are rejected', async () => {
    const engine = createFakeEngine({ manifest, delayMs: 60_000 });
    const queue = createBatchQueue(engine, limits);
    const running = assert.rejects(queue.run(image(1), embedding, call()), { code: 'unavailable' });
    await turn();
    const waiting = assert.rejects(queue.run(image(2), embedding, call()), { code: 'unavailable', message: /SIGKILL/ });
    engine.kill(1, 'ended (signal SIGKILL)');
    await Promise.all([running, waiting]);
    await assert.rejects(queue.run(image(3), embedding, call()), { code: 'unavailable', message: /SIGKILL/ });
    await queue.close();
  });
});
