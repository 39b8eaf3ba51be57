import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import { readdirSync, readFileSync } from 'node:fs';
import { cp, mkdtemp, open, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { breakingRuntime, poison } from '../../test/support/breakingRuntime.js';
import { type CudaStub, cudaStub } from '../../test/support/cudaStub.js';
import { withTinyModel } from '../../test/support/tinyModel.js';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import { until } from '../../test/support/until.js';
import { nearestNeighbours } from '../match/nearest.js';
import { exportModel } from '../models/exportModel.js';
import { type ModelFolder, openModelFolder } from '../models/folder.js';
import { writeRandomModel } from '../models/randomModel.js';
import { verifyModel } from '../models/verifyModel.js';
import { InferenceSession, Tensor as OrtTensor } from '../onnx/runtime.js';
import { runSync } from '../tensor/slices.js';
import { type Tensor, tensor, zeros } from '../tensor/tensor.js';
import type { Engine, EngineError, OutputName } from './engine.js';
import { workerSetupOf } from './messages.js';
import { createOnnxEngine } from './onnxEngine.js';
import { pairTensors } from './search.js';
import { startWorkerProcess } from './workerProcess.js';

const everything = new Set<OutputName>(['representation', 'maps', 'embedding', 'maps_embedding']);

function images(count: number, height: number, width: number): Tensor<'uint8'> {
  const data = Uint8Array.from({ length: count * height * width * 3 }, (_, i) => (i * 31 + (i >> 5) * 7) % 256);
  return tensor('uint8', [count, height, width, 3], data);
}

/** [count, channels] of distinct numbers. */
const vectors = (count: number, channels: number, phase = 0): Float32Array =>
  Float32Array.from({ length: count * channels }, (_, i) => Math.sin(i * 12.9898 + phase));

/** Resolves when the condition holds. It is checked after every change of status. */
function whenever(engine: Engine, holds: () => boolean): Promise<void> {
  return new Promise((resolve) => {
    const look = (): void => {
      if (!holds()) return;
      unwatch();
      resolve();
    };
    const unwatch = engine.watch(look);
    look();
  });
}

/** What the kernel says of a process; empty if there is none. */
function statusOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/status`, 'utf8');
  } catch {
    return '';
  }
}

/** Whether a process runs. A zombie process does not. */
function isAlive(pid: number): boolean {
  const status = statusOf(pid);
  return status !== '' && !/^State:\s+Z/m.test(status);
}

/** Processes that this one started and that have not ended. */
function children(): number[] {
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && isAlive(pid))
    .filter((pid) => new RegExp(`^PPid:\\s+${process.pid}$`, 'm').test(statusOf(pid)));
}

/** CPU time of a process so far, in ticks of the kernel (usually 10 ms). */
function processorTime(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]!.split(' ');
  return Number(fields[11]) + Number(fields[12]);
}

/** A batch that keeps the tiny model busy for a large part of a second. */
const longBatch = (): Tensor<'uint8'> => images(24, 768, 768);

describe('createOnnxEngine', () => {
  let folder: ModelFolder;
  let remove: () => Promise<void>;
  let bundled: ModelFolder;
  before(async () => {
    ({ folder, remove } = await withTinyModel());
    bundled = await openModelFolder(fileURLToPath(new URL('../../../models/vicregl-resnet18-half', import.meta.url)));
  });
  after(() => remove());

  it('returns the same outputs as running the graphs directly, and does not detach the batch', async () => {
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

  it('returns only the requested outputs, for any batch size', async () => {
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

  it('finds nearest neighbours while other runs are in progress, and does not detach the vectors', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const { signal } = new AbortController();
    try {
      const [a, b] = [vectors(50, 16), vectors(30, 16, 0.3)];
      const pair = { a, b, channels: 16 };
      const run = engine.run(images(1, 16, 16), everything);
      const [found] = await Promise.all([engine.nearest(pair, signal), run]);
      const exact = runSync(nearestNeighbours(pair));
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

  it('stops an aborted search at its next tile', async () => {
    const worker = await startWorkerProcess(workerSetupOf(folder, { device: 'cpu', threads: 1 }), () => {});
    try {
      // 128 tiles of 0.3 GFLOP each.
      const large = vectors(8192, 256);
      const controller = new AbortController();
      const searching = worker.work(
        { kind: 'nearest' },
        pairTensors({ a: large, b: large, channels: 256 }),
        controller.signal,
      );
      controller.abort();
      await assert.rejects(searching, { code: 'internal', message: /cancelled/ });
    } finally {
      await worker.close();
    }
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const controller = new AbortController();
    const pair = { a: vectors(2048, 64), b: vectors(2048, 64), channels: 64 };
    const [running, waiting] = [engine.nearest(pair, controller.signal), engine.nearest(pair, controller.signal)];
    controller.abort(new Error('given up'));
    await assert.rejects(running, /given up/);
    await assert.rejects(waiting, /given up/);
    assert.deepEqual((await engine.run(images(1, 16, 16), everything)).maps?.shape, [1, 2, 2, 16]);
    await engine.close();
  });

  it('accepts a batch in a pooled Buffer without detaching the pool', async () => {
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

  it('rejects wrong input as invalid_input and continues', async () => {
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
      await assert.rejects(engine.run(images(1, 16, 16), new Set()), invalid(/no output is requested/));
      await assert.rejects(
        engine.run(images(1, 16, 16), new Set(['logits' as OutputName])),
        invalid(/no output logits/),
      );
      assert.deepEqual((await engine.run(images(1, 16, 16), wants)).maps?.shape, [1, 2, 2, 16]);
    } finally {
      await engine.close();
    }
  });

  it('does not block the event loop while a batch runs', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    try {
      let answered = false;
      const pending = engine.run(images(2, 64, 64), new Set<OutputName>(['representation'])).finally(() => {
        answered = true;
      });
      // The run lasts until the test ends it.
      const { pid } = engine.status.workers[0]!;
      process.kill(pid!, 'SIGSTOP');
      for (let turn = 0; turn < 1000; turn++) await nextTurn();
      assert.equal(answered, false);
      process.kill(pid!, 'SIGCONT');
      assert.deepEqual((await pending).representation?.shape, [2, 16]);
    } finally {
      await engine.close();
    }
  });

  it('finishes accepted runs on close, rejects later ones, and can be closed twice', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const accepted = engine.run(images(4, 256, 256), new Set<OutputName>(['maps_embedding']));
    const closing = engine.close();
    await assert.rejects(engine.run(images(1, 16, 16), new Set(['maps'])), { code: 'unavailable', message: /closed/ });
    assert.deepEqual((await accepted).maps_embedding?.shape, [4, 32, 32, 12]);
    await closing;
    await engine.close();
    assert.deepEqual(engine.status.restarts, { died: 0, hung: 0, broken: 0 }, 'a close is no death');
  });

  it('fails the run of a killed worker, continues with the other worker, and replaces the killed one', async () => {
    const logged: string[] = [];
    const log = (message: string) => logged.push(message);
    const engine = await createOnnxEngine(folder, { device: 'cpu', workers: 2, threads: 1, log });
    try {
      assert.deepEqual(
        engine.status.workers.map(({ state }) => state),
        ['idle', 'idle'],
      );
      const wants = new Set<OutputName>(['representation']);
      const killed = engine.run(longBatch(), wants);
      const busy = engine.status.workers.find(({ state }) => state === 'busy')!;
      process.kill(busy.pid!, 'SIGKILL');
      await assert.rejects(killed, { name: 'EngineError', code: 'unavailable', message: /ended \(signal SIGKILL\)/ });
      assert.equal(engine.status.state, 'degraded');
      assert.match(engine.status.reason!, /SIGKILL/);
      assert.deepEqual((await engine.run(images(1, 16, 16), wants)).representation?.shape, [1, 16]);
      await whenever(engine, () => engine.status.state === 'ready');
      assert.deepEqual(engine.status.restarts, { died: 1, hung: 0, broken: 0 });
      assert.ok(!engine.status.workers.some(({ pid }) => pid === busy.pid));
      assert.ok(engine.status.workers.every(({ rssBytes }) => rssBytes > 1e6));
      assert.match(logged[0]!, /SIGKILL\); a replacement is started now/);
      assert.match(logged.at(-1)!, /worker \d+ replaced a lost one/);
    } finally {
      await engine.close();
    }
  });

  it('kills a worker that hangs in a run, fails only that run, and warms up a replacement', async () => {
    const engine = await createOnnxEngine(folder, {
      device: 'cpu',
      workers: 2,
      threads: 1,
      runSeconds: 5,
      log: () => {},
    });
    const wants = new Set<OutputName>(['representation']);
    try {
      const warmed: unknown[] = [];
      await engine.warm(async (run) => {
        warmed.push((await run(images(1, 16, 16), wants)).representation?.shape);
      });
      assert.deepEqual(warmed, [
        [1, 16],
        [1, 16],
      ]);
      const hanging = engine.run(longBatch(), wants);
      const { pid } = engine.status.workers.find(({ state }) => state === 'busy')!;
      const before = processorTime(pid!);
      await until(() => processorTime(pid!) >= before + 5, 5);
      process.kill(pid!, 'SIGSTOP');
      assert.deepEqual((await engine.run(images(1, 16, 16), wants)).representation?.shape, [1, 16]);
      await assert.rejects(hanging, {
        name: 'EngineError',
        code: 'unavailable',
        message:
          'inference took longer than 5 s (runSeconds), and its worker was killed; send smaller images, or try again later',
      });
      assert.equal(engine.status.state, 'degraded');
      await whenever(engine, () => engine.status.state === 'ready');
      assert.equal(warmed.length, 3);
      assert.deepEqual(engine.status.restarts, { died: 0, hung: 1, broken: 0 });
      await until(() => !isAlive(pid!), 5);
    } finally {
      await engine.close();
    }
  });

  it('replaces a worker whose runtime is broken, and keeps one that failed because of its input', async (t) => {
    const { NODE_OPTIONS } = process.env;
    t.after(() => {
      if (NODE_OPTIONS === undefined) delete process.env['NODE_OPTIONS'];
      else process.env['NODE_OPTIONS'] = NODE_OPTIONS;
    });
    Object.assign(process.env, breakingRuntime);
    const logged: string[] = [];
    const log = (message: string) => logged.push(message);
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1, log });
    const wants = new Set<OutputName>(['representation']);
    const pair = { a: vectors(20, 16), b: vectors(20, 16, 0.3), channels: 16 };
    const { signal } = new AbortController();
    const work = { run: () => engine.run(images(1, 16, 16), wants), nearest: () => engine.nearest(pair, signal) };
    const pid = () => engine.status.workers[0]!.pid!;
    try {
      let checks = 0;
      await engine.warm(
        async (run) => void (await run(images(1, 8, 8), wants)),
        async (run) => {
          checks++;
          await run(images(1, 8, 8), wants);
        },
      );
      const first = pid();
      const poisoned = images(2, 16, 16);
      poisoned.data.set(poison);
      await assert.rejects(engine.run(poisoned, wants), { code: 'internal', message: /poisoned/ });
      assert.deepEqual((await work.run()).representation?.shape, [1, 16]);
      assert.deepEqual([pid(), checks, logged], [first, 1, []]);
      for (const [replaced, kind] of (['run', 'nearest'] as const).entries()) {
        const lost = pid();
        process.kill(lost, 'SIGUSR2');
        // Runs that started before the signal arrives are answered.
        await assert.rejects(
          until(async () => {
            await work[kind]();
            return false;
          }),
          { code: 'internal', message: /illegal memory access/ },
        );
        await whenever(engine, () => engine.status.restarts.broken > replaced);
        await work[kind]();
        assert.notEqual(pid(), lost);
        assert.deepEqual(engine.status.restarts, { died: 0, hung: 0, broken: replaced + 1 });
        await until(() => !isAlive(lost), 5);
      }
      assert.match(logged[0]!, /^worker \d+ failed a task and then its check: .*illegal memory access/);
    } finally {
      await engine.close();
    }
  });

  it('kills a worker that does not open its model in time', async () => {
    const setup = workerSetupOf(folder, { device: 'cpu', threads: 1 });
    // No process can start within one millisecond.
    await assert.rejects(
      startWorkerProcess(setup, () => {}, { openMs: 1 }),
      { code: 'unavailable', message: /killed: it was not ready within 0\.001 s/ },
    );
  });

  for (const how of ['terminate', 'close'] as const) {
    it(`ends a worker that is starting, and hangs, on ${how}`, async () => {
      const logged: string[] = [];
      const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1, log: (line) => logged.push(line) });
      const before = children();
      process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
      await whenever(engine, () => engine.status.workers[0]!.state === 'starting');
      const started = children().filter((pid) => !before.includes(pid));
      assert.equal(started.length, 1);
      process.kill(started[0]!, 'SIGSTOP');
      if (how === 'terminate') engine.terminate();
      await engine.close();
      await until(() => !isAlive(started[0]!), 5);
      assert.deepEqual(engine.status.startFailures, { model_changed: 0, other: 0 });
      assert.equal(logged.length, 1, logged.join('\n'));
    });
  }

  it('computes the heads of a model of float16 arithmetic with sums in float32, as models verify does', async () => {
    const { expander, backbone } = tinyModelConfig;
    // Every representation is made of ones. Half of each sum is beyond the largest number of float16, and the other half cancels it.
    const chosen: Readonly<Record<string, (i: number) => number>> = {
      'backbone.norm.weight': () => 0,
      'backbone.norm.bias': () => 1,
      'projector.0.weight': (i) => (i % 16 < 8 ? 30_000 : -30_000),
    };
    const weights = new Map(
      [...tinyWeights(tinyModelConfig)].map(([name, { shape, data }]) => {
        const choose = chosen[name];
        const value = Float32Array.from(data as Float32Array, (element, i) =>
          choose === undefined ? element : choose(i),
        );
        return [name, tensor('float32', shape, value)];
      }),
    );
    assert.ok(Object.keys(chosen).every((name) => weights.has(name)));
    const root = await mkdtemp(join(tmpdir(), 'vicregl-half-'));
    try {
      const source = {
        name: 'half',
        version: '1',
        architecture: 'custom',
        backbone,
        expander,
        weights,
      };
      const about = { alpha: 0.75, license: 'Apache-2.0', training: {} };
      const dir = join(root, 'half');
      await exportModel(dir, { ...source, ...about }, { precision: 'float16', compute: 'float16' });
      assert.deepEqual((await verifyModel(dir)).graphs, ['backbone', 'expander']);
      const engine = await createOnnxEngine(await openModelFolder(dir), { device: 'cpu', threads: 1 });
      try {
        const { embedding } = await engine.run(images(1, 32, 32), new Set<OutputName>(['embedding']));
        assert.ok(embedding!.data.every(Number.isFinite), `${embedding!.data}`);
      } finally {
        await engine.close();
      }
    } finally {
      await rm(root, { recursive: true });
    }
  });

  it('keeps runs waiting while its only worker is replaced', async () => {
    const engine = await createOnnxEngine(folder, { device: 'cpu', threads: 1, log: () => {} });
    try {
      process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
      await whenever(engine, () => engine.status.state === 'recovering');
      const outputs = await engine.run(images(1, 16, 16), new Set<OutputName>(['representation']));
      assert.deepEqual(outputs.representation?.shape, [1, 16]);
      assert.equal(engine.status.state, 'ready');
    } finally {
      await engine.close();
    }
  });

  it('has workers that exit when their parent is killed, also during a run', async () => {
    const script = `
      import { openModelFolder } from ${JSON.stringify(new URL('../models/folder.js', import.meta.url).href)};
      import { createOnnxEngine } from ${JSON.stringify(new URL('./onnxEngine.js', import.meta.url).href)};
      const folder = await openModelFolder(${JSON.stringify(folder.dir)});
      const engine = await createOnnxEngine(folder, { device: 'cpu', workers: 2, threads: 1 });
      const data = new Uint8Array(24 * 768 * 768 * 3);
      engine.run({ dtype: 'uint8', shape: [24, 768, 768, 3], data }, new Set(['maps']));
      console.log(JSON.stringify(engine.status.workers.map(({ pid }) => pid)));`;
    const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const [line] = (await once(parent.stdout, 'data')) as [Buffer];
    const pids = JSON.parse(line.toString()) as number[];
    assert.equal(pids.length, 2);
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    await until(() => !pids.some(isAlive), 20);
  });

  it('fails with the name of a graph that cannot be read or lacks an output', async () => {
    const broken = await withTinyModel();
    try {
      const path = broken.folder.graphPath('backbone')!;
      const bytes = 'not a graph';
      await writeFile(path, bytes);
      const sha256 = createHash('sha256').update(bytes).digest('hex');
      const { manifest } = broken.folder;
      const files = { ...manifest.files, 'backbone.onnx': { bytes: bytes.length, sha256 } };
      await assert.rejects(
        createOnnxEngine({ ...broken.folder, manifest: { ...manifest, files } }, { device: 'cpu' }),
        {
          code: 'unavailable',
          startFailure: 'other',
          message: /backbone\.onnx cannot be loaded: it is no ONNX model/,
        },
      );
      const graphs = { backbone: 'local_projector.onnx' };
      const swapped: ModelFolder = { ...broken.folder, manifest: { ...manifest, graphs } };
      await assert.rejects(createOnnxEngine(swapped, { device: 'cpu' }), {
        code: 'unavailable',
        message: /local_projector\.onnx: unknown input maps; it takes images alone/,
      });
    } finally {
      await broken.remove();
    }
  });

  describe('with a folder that changes while it is served', () => {
    const wants = new Set<OutputName>(['representation']);
    let scratch: string;
    before(async () => {
      scratch = await mkdtemp(join(tmpdir(), 'vicregl-changed-'));
      // Weights in a separate file, as in exported models.
      await writeRandomModel(join(scratch, 'whole'), bundled.manifest, 1);
    });
    after(() => rm(scratch, { recursive: true, force: true }));

    /** A new copy of the folder, and an engine that serves it. */
    async function serve(name: string, workers: number) {
      const dir = join(scratch, name);
      await cp(join(scratch, 'whole'), dir, { recursive: true });
      const logged: string[] = [];
      const log = (line: string) => logged.push(line);
      const opened = await openModelFolder(dir);
      return {
        dir,
        logged,
        opened,
        engine: await createOnnxEngine(opened, { device: 'cpu', workers, threads: 1, log }),
      };
    }

    const batch = images(1, 64, 64);
    const answer = async (engine: Engine) => (await engine.run(batch, wants)).representation!.data;

    /** Overwrites the weights in place with other numbers. Inode and size stay the same. */
    async function overwrite(path: string): Promise<void> {
      const file = await open(path, 'r+');
      const { size } = await file.stat();
      const half = Math.floor(size / 2);
      await file.write(Buffer.alloc(half, 0x3c), 0, half, Math.floor(size / 4));
      await file.close();
    }

    for (const name of ['weights.safetensors', 'backbone.onnx']) {
      it(`keeps the verified model if ${name} is overwritten, and starts no worker with the new file`, async () => {
        const { dir, logged, engine } = await serve(`overwritten-${name}`, 2);
        const path = join(dir, name);
        try {
          const expected = await answer(engine);
          const kept = await readFile(path);
          await overwrite(path);
          assert.deepEqual(await answer(engine), expected, 'a session that stands has changed');
          process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
          await whenever(engine, () => engine.status.startFailures.model_changed === 1);
          const { state, reason, publicReason } = engine.status;
          assert.equal(state, 'degraded');
          assert.ok(reason!.includes(`${path} has sha256`), reason);
          assert.match(publicReason!, /files of the model have changed since they were verified/);
          assert.ok(!publicReason!.includes(scratch));
          assert.ok(logged.some((line) => line.includes(path)));
          for (let i = 0; i < 4; i++) assert.deepEqual(await answer(engine), expected);
          await writeFile(path, kept);
          await whenever(engine, () => engine.status.state === 'ready');
          assert.deepEqual(await Promise.all([answer(engine), answer(engine)]), [expected, expected]);
          assert.equal(engine.status.startFailures.other, 0);
        } finally {
          await engine.close();
        }
      });
    }

    it('continues if files are replaced, truncated or removed, and a new engine opens the complete new model', async () => {
      const { dir, engine } = await serve('replaced', 1);
      const other = join(scratch, 'other');
      await writeRandomModel(other, bundled.manifest, 2);
      const path = join(dir, 'weights.safetensors');
      try {
        const expected = await answer(engine);
        await truncate(path, 4096);
        assert.deepEqual(await answer(engine), expected);
        await rm(path);
        assert.deepEqual(await answer(engine), expected);
        await cp(other, dir, { recursive: true });
        assert.deepEqual(await answer(engine), expected);
        process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
        await whenever(engine, () => engine.status.state === 'down');
        await assert.rejects(answer(engine), (error: EngineError) => {
          assert.equal(error.code, 'unavailable');
          assert.match(error.publicMessage!, /have changed since they were verified/);
          assert.ok(!error.publicMessage!.includes(scratch));
          return true;
        });
        const next = await createOnnxEngine(await openModelFolder(dir), { device: 'cpu', threads: 1 });
        assert.notDeepEqual(await answer(next), expected);
        await next.close();
      } finally {
        await engine.close();
      }
    });

    it('checks only the files that its sessions use', async () => {
      const { dir, engine } = await serve('manifest', 1);
      try {
        const expected = await answer(engine);
        await writeFile(join(dir, 'manifest.json'), '{}');
        await writeFile(join(dir, 'notes.txt'), 'beside the model');
        process.kill(engine.status.workers[0]!.pid!, 'SIGKILL');
        await whenever(engine, () => engine.status.restarts.died === 1);
        assert.deepEqual(await answer(engine), expected);
        assert.deepEqual(engine.status.startFailures, { model_changed: 0, other: 0 });
      } finally {
        await engine.close();
      }
    });

    it('rejects outputs of another shape than the manifest describes', async () => {
      const { opened, engine } = await serve('shape', 1);
      await engine.close();
      const { manifest } = opened;
      const maps = { ...manifest.outputs['maps']!, stride: manifest.stride / 2 };
      const other = { ...opened, manifest: { ...manifest, outputs: { ...manifest.outputs, maps } } };
      const wrong = await createOnnxEngine(other, { device: 'cpu', threads: 1 });
      try {
        await assert.rejects(wrong.run(zeros('uint8', [1, 64, 96, 3]), new Set(['maps'])), {
          name: 'EngineError',
          code: 'internal',
          message:
            /output maps: it is \[1, 4, 6, 256\] for an input of 96x64, and the manifest describes \[1, 8, 12, 256\]/,
        });
      } finally {
        await wrong.close();
      }
    });

    it('opens no file that the manifest does not list', async () => {
      const { opened, engine } = await serve('unlisted', 1);
      await engine.close();
      const { 'weights.safetensors': _, ...files } = opened.manifest.files;
      const unlisted = { ...opened, manifest: { ...opened.manifest, files } };
      await assert.rejects(createOnnxEngine(unlisted, { device: 'cpu' }), {
        message: /backbone\.onnx refers to "weights\.safetensors", which the manifest does not list/,
      });
    });
  });

  it('falls back from CUDA with the reason under auto, and never under cuda', async (t) => {
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

  describe('with a CUDA installation that is', () => {
    const before = { ...process.env };
    afterEach(() => {
      for (const key of ['NODE_OPTIONS', 'VICREGL_TEST_CUDA']) {
        if (before[key] === undefined) delete process.env[key];
        else process.env[key] = before[key];
      }
    });
    const started = async (stub: CudaStub, device: 'auto' | 'cuda', of: ModelFolder = folder) => {
      Object.assign(process.env, cudaStub(stub));
      const logged: string[] = [];
      const engine = await createOnnxEngine(of, { device, threads: 1, log: (message) => logged.push(message) });
      try {
        await engine.run(images(1, 8, 8), new Set<OutputName>(['representation']));
        return { provider: engine.provider, logged };
      } finally {
        await engine.close();
      }
    };

    it('complete, runs on CUDA without fallback of operators to the CPU', async () => {
      for (const device of ['auto', 'cuda'] as const) {
        assert.deepEqual(await started({}, device), { provider: 'cuda', logged: [] });
      }
    });

    it('complete and of several devices, runs the workers on each of them, replacements too, and fails for a device that does not exist', async () => {
      Object.assign(process.env, cudaStub({ devices: 2, announce: true }));
      const logged: string[] = [];
      const engine = await createOnnxEngine(folder, {
        ...{ device: 'cuda:0,1', workers: 2, threads: 1 },
        log: (message) => logged.push(message),
      });
      try {
        const devices = () => engine.status.workers.map(({ device }) => device);
        assert.deepEqual(devices(), ['cuda:0', 'cuda:1', 'cuda:0', 'cuda:1']);
        /** How many sessions were opened on a device: of the proof and of the graphs. */
        const sessionsOn = (id: number) => logged.filter((line) => line.includes(`a session on device ${id}`)).length;
        const perWorker = sessionsOn(1) / 2;
        assert.ok(perWorker >= 4);
        assert.equal(sessionsOn(0), sessionsOn(1));
        const lost = engine.status.workers[1]!.pid!;
        process.kill(lost, 'SIGKILL');
        await until(() => engine.status.workers[1]!.restarts.died === 1, 10);
        assert.deepEqual([sessionsOn(0), sessionsOn(1)], [2 * perWorker, 3 * perWorker]);
        assert.deepEqual(devices(), ['cuda:0', 'cuda:1', 'cuda:0', 'cuda:1']);
        assert.equal(engine.status.restarts.died, 1);
        await Promise.all(
          Array.from({ length: 4 }, () => engine.run(images(1, 8, 8), new Set<OutputName>(['representation']))),
        );
        for (const { busySeconds } of engine.status.workers) assert.ok(busySeconds > 0);
      } finally {
        await engine.close();
      }
      await assert.rejects(createOnnxEngine(folder, { device: 'cuda:1,2', threads: 1, log: () => {} }), {
        code: 'unavailable',
        message: /cuda:2: .*there is no CUDA device of this number.*nvidia-smi -L/,
      });
    });

    it('without cuDNN, which only a run shows, falls back under auto with the reason and fails under cuda', async () => {
      const stub = { run: 'Non-zero status code returned while running Conv node: cuDNN library was not found' };
      const { provider, logged } = await started(stub, 'auto');
      assert.equal(provider, 'cpu');
      assert.match(logged[0]!, /^CUDA is not available, inference runs on the CPU: libcudnn\.so\.9.* is not found$/);
      await assert.rejects(started(stub, 'cuda'), {
        code: 'unavailable',
        message: /CUDA cannot be used: libcudnn\.so\.9.* is not found\. Install it.*, or run with --device cpu\.$/,
      });
    });

    it('with a driver that is too old, falls back under auto and fails with the reason under cuda', async () => {
      const stub = { create: 'CUDA failure 35: CUDA driver version is insufficient for CUDA runtime version' };
      assert.equal((await started(stub, 'auto')).provider, 'cpu');
      await assert.rejects(started(stub, 'cuda'), { message: /driver is too old.*Update the driver/ });
    });

    it('so broken that it kills the process that tries it, falls back under auto and fails under cuda', async () => {
      const { provider, logged } = await started({ abort: true }, 'auto');
      assert.equal(provider, 'cpu');
      assert.match(logged.join('\n'), /runs on the CPU: the process that tried it ended: .*signal SIGABRT/);
      await assert.rejects(started({ abort: true }, 'cuda'), { code: 'unavailable', message: /SIGABRT/ });
    });

    it('complete, runs an int8 model on the CPU under auto and rejects it under cuda', async () => {
      const integer: ModelFolder = { ...folder, manifest: { ...folder.manifest, compute: 'int8' } };
      assert.deepEqual(await started({}, 'auto', integer), { provider: 'cpu', logged: [] });
      await assert.rejects(started({}, 'cuda', integer), {
        code: 'unavailable',
        message: /int8, which CUDA cannot run; serve a float variant/,
      });
    });
  });

  it('rejects a number of threads that is not a positive integer', async () => {
    await assert.rejects(createOnnxEngine(folder, { device: 'cpu', threads: 0 }), {
      code: 'invalid_input',
      message: /threads is 0/,
    });
  });

  it('does not keep the process alive after close', () => {
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
