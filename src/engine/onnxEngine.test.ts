import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { rm, writeFile } from 'node:fs/promises';
import { after, before, describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node';
import { withTinyModel } from '../../test/support/tinyModel.js';
import { nearestNeighbours } from '../match/nearest.js';
import { atOnce } from '../match/turns.js';
import type { ModelFolder } from '../models/folder.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { OutputName } from './engine.js';
import { createOnnxEngine } from './onnxEngine.js';
import type { WorkerResponse } from './workerMessages.js';

const everything = new Set<OutputName>(['representation', 'maps', 'embedding', 'maps_embedding']);

function images(count: number, height: number, width: number): Tensor<'uint8'> {
  const data = Uint8Array.from({ length: count * height * width * 3 }, (_, i) => (i * 31 + (i >> 5) * 7) % 256);
  return tensor('uint8', [count, height, width, 3], data);
}

/** [count, channels] of numbers that are all different. */
const vectors = (count: number, channels: number, phase = 0): Float32Array =>
  Float32Array.from({ length: count * channels }, (_, i) => Math.sin(i * 12.9898 + phase));

/** A batch that keeps the tiny model busy for a good part of a second. */
const longBatch = (): Tensor<'uint8'> => images(24, 768, 768);

describe('createOnnxEngine', () => {
  let folder: ModelFolder;
  let remove: () => Promise<void>;
  before(async () => ({ folder, remove } = await withTinyModel()));
  after(() => remove());

  it('gives what the graphs give when run directly, and leaves the batch to the caller', async () => {
    const batch = images(2, 40, 24);
    const backbone = await InferenceSession.create(folder.graphPath('backbone')!);
    const projector = await InferenceSession.create(folder.graphPath('localProjector')!);
    const expander = await InferenceSession.create(folder.graphPath('expander')!);
    const { maps, representation } = await backbone.run({ images: new OrtTensor('uint8', batch.data, batch.shape) });
    const expected = {
      maps,
      representation,
      ...(await projector.run({ maps: maps! })),
      ...(await expander.run({ representation: representation! })),
    } as Record<OutputName, OrtTensor>;

    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    try {
      assert.equal(engine.provider, 'cpu');
      assert.deepEqual(engine.outputs, everything);
      const outputs = await engine.run(batch, everything);
      for (const name of everything) {
        assert.deepEqual(outputs[name]?.shape, expected[name]!.dims, name);
        assert.deepEqual(outputs[name]?.data, expected[name]!.data, name);
      }
      assert.deepEqual(outputs.maps?.shape, [2, 5, 3, 16]);
      assert.equal(batch.data.length, 2 * 40 * 24 * 3, 'the batch was moved away');
    } finally {
      await engine.close();
    }
  });

  it('returns only what is wanted, whatever the size of the batch', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    try {
      const runs = [1, 3, 2].map((count) => engine.run(images(count, 16, 16), new Set<OutputName>(['embedding'])));
      const results = await Promise.all(runs);
      assert.deepEqual(
        results.map((outputs) => [Object.keys(outputs), outputs.embedding?.shape]),
        [
          [['embedding'], [1, 20]],
          [['embedding'], [3, 20]],
          [['embedding'], [2, 20]],
        ],
      );
    } finally {
      await engine.close();
    }
  });

  it('finds nearest neighbours beside runs, leaving the vectors to the caller', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const { signal } = new AbortController();
    try {
      const [a, b] = [vectors(50, 16), vectors(30, 16, 0.3)];
      const pair = { a, b, channels: 16 };
      const run = engine.run(images(1, 16, 16), everything);
      const [found] = await Promise.all([engine.nearest(pair, signal), run]);
      const exact = atOnce(nearestNeighbours(pair));
      assert.deepEqual(found.fromA.index, exact.fromA.index);
      assert.deepEqual(found.fromB.index, exact.fromB.index);
      assert.deepEqual([a.length, b.length], [50 * 16, 30 * 16], 'the vectors were moved away');
      await assert.rejects(
        engine.nearest({ ...pair, b: b.map((value, i) => (i === 40 ? Number.NaN : value)) }, signal),
        {
          name: 'MatchError',
          code: 'not_finite',
          message: 'b has a feature in cell 2 that is not finite',
        },
      );
    } finally {
      await engine.close();
    }
    await assert.rejects(engine.nearest({ a: vectors(1, 2), b: vectors(1, 2), channels: 2 }, signal), {
      name: 'EngineError',
      code: 'unavailable',
    });
  });

  it('ends a search that is given up at its next tile', async () => {
    const answers: WorkerResponse[] = [];
    const engine = await createOnnxEngine(folder, {
      device: 'cpu',
      threads: 1,
      startWorker: (script, workerData) =>
        new Worker(script, { workerData, execArgv: [] }).on('message', (answer: WorkerResponse) =>
          answers.push(answer),
        ),
    });
    try {
      // 128 tiles of 0.3 GFLOP each.
      const large = vectors(8192, 256);
      const given = new AbortController();
      const searching = engine.nearest({ a: large, b: large, channels: 256 }, given.signal);
      given.abort(new Error('given up'));
      await assert.rejects(searching, /given up/);
      await engine.run(images(1, 16, 16), everything);
      assert.deepEqual(
        answers.map(({ kind }) => kind),
        ['ready', 'error', 'done'],
      );
      await assert.rejects(engine.nearest({ a: large, b: large, channels: 256 }, given.signal), /given up/);
    } finally {
      await engine.close();
    }
  });

  it('takes a batch in a pooled Buffer without detaching the pool', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    try {
      const pooled = Buffer.from(images(1, 16, 16).data);
      await engine.run({ dtype: 'uint8', shape: [1, 16, 16, 3], data: pooled }, new Set(['representation']));
      assert.equal(pooled.length, 768);
      assert.equal(pooled[1], 31);
    } finally {
      await engine.close();
    }
  });

  it('refuses wrong input as invalid_input and goes on', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const wants = new Set<OutputName>(['maps']);
    const invalid = (message: RegExp) => ({ name: 'EngineError', code: 'invalid_input', message });
    try {
      await assert.rejects(
        engine.run(tensor('uint8', [16, 16, 3], new Uint8Array(768)), wants),
        invalid(/\[16, 16, 3\]/),
      );
      await assert.rejects(engine.run(images(1, 7, 16), wants), invalid(/at least the stride 8/));
      await assert.rejects(
        engine.run({ ...images(1, 16, 16), shape: [2, 16, 16, 3] }, wants),
        invalid(/needs 1536 bytes/),
      );
      await assert.rejects(engine.run(images(1, 16, 16), new Set()), invalid(/no output is asked for/));
      await assert.rejects(
        engine.run(images(1, 16, 16), new Set(['logits' as OutputName])),
        invalid(/no output logits/),
      );
      assert.deepEqual((await engine.run(images(1, 16, 16), wants)).maps?.shape, [1, 2, 2, 16]);
    } finally {
      await engine.close();
    }
  });

  it('leaves the event loop free while a batch runs', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    try {
      const batch = longBatch();
      let longestGap = 0;
      let ticks = 0;
      let last = 0;
      const pending = engine.run(batch, new Set<OutputName>(['representation']));
      // Timed from here on: handing the batch over is a copy on this thread.
      const started = performance.now();
      last = started;
      const timer = setInterval(() => {
        const now = performance.now();
        longestGap = Math.max(longestGap, now - last);
        last = now;
        ticks++;
      }, 2);
      await pending;
      const took = performance.now() - started;
      clearInterval(timer);
      assert.ok(ticks >= 5, `${ticks} ticks in ${took} ms`);
      assert.ok(longestGap < took / 2, `the loop stood for ${longestGap} of ${took} ms`);
    } finally {
      await engine.close();
    }
  });

  it('finishes accepted runs on close, refuses later ones, and can be closed twice', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const accepted = engine.run(images(4, 256, 256), new Set<OutputName>(['maps_embedding']));
    const closing = engine.close();
    await assert.rejects(engine.run(images(1, 16, 16), new Set(['maps'])), { code: 'unavailable', message: /closed/ });
    assert.deepEqual((await accepted).maps_embedding?.shape, [4, 32, 32, 12]);
    await closing;
    await engine.close();
    assert.equal(await Promise.race([engine.failed, 'well']), 'well', 'a close is no failure');
  });

  it('rejects pending and later runs as unavailable when its worker dies', async () => {
    // Deaths that JavaScript can see; one inside a native call takes the process down (see createOnnxEngine).
    const deaths = {
      'throw new Error("out of luck")': /worker failed: .*out of luck/,
      'process.exit(7)': /exit code 7/,
    };
    for (const [death, message] of Object.entries(deaths)) {
      const script = `const { parentPort } = require('node:worker_threads');
        parentPort.on('message', () => { ${death} });
        parentPort.postMessage({ kind: 'ready', provider: 'cpu' });`;
      const startWorker = () => new Worker(script, { eval: true });
      const engine = await createOnnxEngine(folder, { device: 'cpu', startWorker });
      const wants = new Set<OutputName>(['representation']);
      const pending = [engine.run(images(1, 16, 16), wants), engine.run(images(2, 16, 16), wants)];
      const unavailable = { name: 'EngineError', code: 'unavailable', message };
      await Promise.all(pending.map((run) => assert.rejects(run, unavailable)));
      await assert.rejects(engine.run(images(1, 16, 16), wants), unavailable);
      const reported = await engine.failed;
      assert.equal(reported.code, 'unavailable');
      assert.match(reported.message, message);
      await engine.close();
    }
  });

  it('reports the death of an idle worker and refuses later runs', async () => {
    let worker: Worker | undefined;
    const engine = await createOnnxEngine(folder, {
      device: 'cpu',
      threads: 1,
      startWorker: (script, workerData) => {
        worker = new Worker(script, { workerData });
        return worker;
      },
    });
    const wants = new Set<OutputName>(['representation']);
    await engine.run(images(1, 16, 16), wants);
    await worker?.terminate();
    assert.match((await engine.failed).message, /worker ended/);
    await assert.rejects(engine.run(images(1, 16, 16), wants), { code: 'unavailable', message: /worker ended/ });
    await engine.close();
  });

  it('fails with the graph named where a graph cannot be read or lacks an output', async () => {
    const broken = await withTinyModel();
    try {
      const path = broken.folder.graphPath('backbone')!;
      await writeFile(path, 'not a graph');
      await assert.rejects(createOnnxEngine(broken.folder, { device: 'cpu' }), {
        code: 'unavailable',
        message: /backbone/,
      });
      await rm(path);
      const projector = broken.folder.graphPath('localProjector')!;
      const swapped: ModelFolder = { ...broken.folder, graphPath: () => projector };
      await assert.rejects(createOnnxEngine(swapped, { device: 'cpu' }), {
        code: 'unavailable',
        message: /local_projector\.onnx: unknown input maps; it takes images alone/,
      });
    } finally {
      await broken.remove();
    }
  });

  it('falls back from CUDA under auto and says why, and never under cuda', async (t) => {
    const logged: string[] = [];
    const engine = await createOnnxEngine(folder, {
      device: 'auto',
      threads: 1,
      log: (message) => logged.push(message),
    });
    await engine.close();
    if (engine.provider === 'cuda') return t.skip('this machine has CUDA: nothing to fall back from');
    assert.equal(logged.length, 1);
    assert.match(logged[0]!, /CUDA is not available, inference runs on the CPU: .+/);
    await assert.rejects(createOnnxEngine(folder, { device: 'cuda' }), {
      code: 'unavailable',
      message: /CUDA.*npm run install:cuda.*cpu/,
    });
  });

  it('refuses a number of threads that is not a whole positive number', async () => {
    await assert.rejects(createOnnxEngine(folder, { device: 'cpu', threads: 0 }), {
      code: 'invalid_input',
      message: /threads is 0/,
    });
  });

  it('lets the process exit by itself once closed', () => {
    const script = `
      import { openModelFolder } from ${JSON.stringify(new URL('../models/folder.js', import.meta.url).href)};
      import { createOnnxEngine } from ${JSON.stringify(new URL('./onnxEngine.js', import.meta.url).href)};
      const engine = await createOnnxEngine(await openModelFolder(${JSON.stringify(folder.dir)}), { device: 'cpu' });
      await engine.run({ dtype: 'uint8', shape: [1, 8, 8, 3], data: new Uint8Array(192) }, new Set(['maps']));
      await engine.close();
      console.log('closed');`;
    const child = spawnSync(process.execPath, ['--input-type=module', '-e', script], {
      encoding: 'utf8',
      timeout: 20_000,
    });
    assert.deepEqual([child.stdout, child.status], ['closed\n', 0], child.stderr);
  });
});
