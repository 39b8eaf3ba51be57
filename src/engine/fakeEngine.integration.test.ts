import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { withTinyModel } from '../../test/support/tinyModel.js';
import type { ModelFolder } from '../models/folder.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { EngineError, type OutputName } from './engine.js';
import { createFakeEngine } from './fakeEngine.js';
import { createOnnxEngine } from './onnxEngine.js';

const everything = new Set<OutputName>(['representation', 'maps', 'embedding', 'maps_embedding']);

function images(count: number, height: number, width: number, seed = 0): Tensor<'uint8'> {
  const data = Uint8Array.from({ length: count * height * width * 3 }, (_, i) => (i * 37 + (i >> 6) * 11 + seed) % 256);
  return tensor('uint8', [count, height, width, 3], data);
}

describe('createFakeEngine', () => {
  let folder: ModelFolder;
  let remove: () => Promise<void>;
  before(async () => ({ folder, remove } = await withTinyModel()));
  after(() => remove());

  it('has the outputs and the shapes of the real engine', async () => {
    const real = await createOnnxEngine(folder, { device: 'cpu', threads: 1 });
    const fake = createFakeEngine({ manifest: folder.manifest });
    try {
      assert.deepEqual(fake.outputs, real.outputs);
      const batch = images(3, 37, 50); // neither side is a multiple of the stride
      const [realOutputs, fakeOutputs] = await Promise.all([real.run(batch, everything), fake.run(batch, everything)]);
      for (const name of everything) assert.deepEqual(fakeOutputs[name]?.shape, realOutputs[name]?.shape, name);
    } finally {
      await real.close();
    }
  });

  it('loses and regains its workers on request', async () => {
    const engine = createFakeEngine({ manifest: folder.manifest, workers: 2, delayMs: 10_000 });
    const states: string[] = [];
    const unwatch = engine.watch(() => states.push(`${engine.status.state} ${engine.idle}`));
    const running = engine.run(images(1, 16, 16), everything);
    engine.kill(1, 'gone');
    await assert.rejects(running, { code: 'unavailable', message: 'gone' });
    engine.kill(1, 'gone too');
    await assert.rejects(engine.run(images(1, 16, 16), everything), { code: 'unavailable', message: 'gone too' });
    await engine.revive();
    unwatch();
    assert.deepEqual(states, ['degraded 0', 'degraded 1', 'down 0', 'ready 2']);
    assert.deepEqual(engine.status.restarts, { died: 2, hung: 0, broken: 0 });
    await engine.close();
  });

  it('computes outputs that depend only on the pixels, not on the batch, and differ for different pixels', async () => {
    const engine = createFakeEngine({ manifest: folder.manifest });
    const [one, two] = [images(1, 16, 24, 1), images(1, 16, 24, 99)];
    const both = tensor('uint8', [2, 16, 24, 3], Uint8Array.of(...one.data, ...two.data));
    const batched = (await engine.run(both, everything)).maps_embedding!;
    const alone = (await engine.run(two, everything)).maps_embedding!;
    const other = (await engine.run(one, everything)).maps_embedding!;
    assert.deepEqual(batched.data.slice(alone.data.length), alone.data);
    assert.notDeepEqual(alone.data, other.data);
  });

  it('waits, rejects and fails on request, and finishes on close', async () => {
    const failure = new EngineError('internal', 'told to fail');
    const engine = createFakeEngine({
      manifest: folder.manifest,
      delayMs: 20,
      failWith: (batch) => (batch.shape[0] === 2 ? failure : undefined),
    });
    const wants = new Set<OutputName>(['representation']);
    await assert.rejects(engine.run(images(2, 16, 16), wants), failure);
    await assert.rejects(engine.run(images(1, 4, 16), wants), { code: 'invalid_input' });
    let done = false;
    const running = engine.run(images(1, 16, 16), wants).then(() => {
      done = true;
    });
    await new Promise(setImmediate);
    assert.equal(done, false);
    await engine.close();
    assert.equal(done, true);
    await running;
    await assert.rejects(engine.run(images(1, 16, 16), wants), { code: 'unavailable' });
  });
});
