import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { setImmediate as turn } from 'node:timers/promises';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { EngineError, type EngineOutputs, type ImageBatch, type OutputName } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import type { RgbImage } from '../../image/types.js';
import { ServeError } from '../serveError.js';
import { createBatchQueue, type QueueLimits } from './queue.js';

const limits: QueueLimits = { queueImages: 8, queueBytes: 1 << 20, batchImages: 4, batchPixels: 1 << 20 };
const embedding: ReadonlySet<OutputName> = new Set(['representation']);
const manifest = { ...tinyManifest, files: {} };

function image(value: number, width = 8, height = 8): RgbImage {
  return { width, height, data: new Uint8Array(width * height * 3).fill(value) };
}

function call(signal: AbortSignal = new AbortController().signal) {
  return { signal, observe: () => {} };
}

/** The fake engine, whose runs wait until they are let go one by one. */
function gatedEngine() {
  const engine = createFakeEngine({ manifest });
  const gates: (() => Promise<unknown>)[] = [];
  const batches: ImageBatch[] = [];
  return {
    batches,
    run(batch: ImageBatch, wants: ReadonlySet<OutputName>): Promise<EngineOutputs> {
      batches.push(batch);
      return new Promise((resolve, reject) => {
        gates.push(() => engine.run(batch, wants).then(resolve, reject));
      });
    },
    /** Lets the oldest run finish and the queue take its next batch. */
    async letOneGo() {
      await gates.shift()!();
      await turn();
    },
    sizes: () => batches.map(({ shape }) => shape[0]),
  };
}

function isServeError(code: string, text: RegExp) {
  return (error: unknown) => error instanceof ServeError && error.code === code && text.test(error.message);
}

describe('batch queue', () => {
  test('those of one turn ride together at once; those that came meanwhile ride together next', async () => {
    const engine = gatedEngine();
    const seen: number[] = [];
    const queue = createBatchQueue(engine, limits, (images) => seen.push(images));
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

  test('an observer that throws costs its own batch, and the queue goes on', async () => {
    const engine = createFakeEngine({ manifest });
    let batches = 0;
    const queue = createBatchQueue(engine, limits, () => {
      if (++batches === 1) throw new Error('no more metrics');
    });
    await assert.rejects(queue.run(image(1), embedding, call()), /no more metrics/);
    const observe = () => {
      throw new Error('not observed');
    };
    await assert.rejects(queue.run(image(2), embedding, { ...call(), observe }), /not observed/);
    assert.ok((await queue.run(image(3), embedding, call())).representation);
    await queue.close();
  });

  test('every image gets its own answer, the one it would get alone', async () => {
    const engine = createFakeEngine({ manifest, delayMs: 2 });
    const queue = createBatchQueue(engine, limits);
    const together = await Promise.all([10, 20, 30].map((value) => queue.run(image(value), embedding, call())));
    for (const [i, value] of [10, 20, 30].entries()) {
      const alone = await queue.run(image(value), embedding, call());
      assert.deepEqual(together[i], alone);
      assert.deepEqual(alone.representation?.shape, [1, 16]);
    }
  });

  test('images of another size or with other wants do not ride along, and none is overtaken for ever', async () => {
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

  test('a batch holds at most batchImages images and batchPixels pixels', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, batchImages: 3, batchPixels: 2 * 64 });
    const answers = [1, 2, 3, 4].map((value) => queue.run(image(value), embedding, call()));
    const large = queue.run(image(5, 64), embedding, call());
    await turn();
    for (let i = 0; i < 3; i++) await engine.letOneGo();
    await Promise.all([...answers, large]);
    assert.deepEqual(engine.sizes(), [2, 2, 1]);
  });

  test('full by images or by bytes: overloaded, and the queue goes on', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, { ...limits, queueImages: 2 });
    const answers = [1, 2].map((value) => queue.run(image(value), embedding, call()));
    await assert.rejects(
      queue.run(image(4), embedding, call()),
      isServeError('overloaded', /queue is full \(2 images/),
    );
    await turn();
    await engine.letOneGo();
    await Promise.all(answers);
    const small = createBatchQueue(engine, { ...limits, queueBytes: 100 });
    await assert.rejects(small.run(image(4), embedding, call()), isServeError('overloaded', /at most 8 images, 100 b/));
  });

  test('an aborted call leaves the queue at once and never reaches the engine', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, limits);
    const first = queue.run(image(1), embedding, call());
    await turn();
    const given = new AbortController();
    const second = queue.run(image(2), embedding, call(given.signal));
    assert.equal(queue.depth, 1);
    given.abort(new ServeError('deadline_exceeded', 'too late'));
    await assert.rejects(second, isServeError('deadline_exceeded', /too late/));
    assert.equal(queue.depth, 0);
    await engine.letOneGo();
    await first;
    assert.deepEqual(engine.sizes(), [1]);
    await assert.rejects(queue.run(image(3), embedding, call(given.signal)), isServeError('deadline_exceeded', /late/));
  });

  test('a call aborted while it runs is answered at once; its companions are not hurt', async () => {
    const engine = gatedEngine();
    const queue = createBatchQueue(engine, limits);
    const given = new AbortController();
    const gone = queue.run(image(1), embedding, call(given.signal));
    await turn();
    const next = queue.run(image(2), embedding, call());
    given.abort(new ServeError('cancelled', 'the caller gave up'));
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

  test('close finishes what was taken and refuses the rest', async () => {
    const engine = createFakeEngine({ manifest, delayMs: 5 });
    const queue = createBatchQueue(engine, limits);
    const answers = [1, 2, 3].map((value) => queue.run(image(value), embedding, call()));
    const closed = queue.close();
    await assert.rejects(queue.run(image(9), embedding, call()), isServeError('shutting_down', /another one/));
    await closed;
    assert.equal((await Promise.all(answers)).length, 3);
  });
});
