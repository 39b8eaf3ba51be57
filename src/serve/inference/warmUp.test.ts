import assert from 'node:assert/strict';
import { test } from 'node:test';
import { tinyManifest } from '../../../test/support/tinyModel.js';
import { EngineError, type WarmUp } from '../../engine/engine.js';
import { createFakeEngine } from '../../engine/fakeEngine.js';
import { warmEngine } from './warmUp.js';

const manifest = { ...tinyManifest, files: {} };

/** A fake engine of two workers that records the images and the outputs of its runs. */
function recording(provider: 'cpu' | 'cuda') {
  const runs: string[] = [];
  const engine = createFakeEngine({
    manifest,
    provider,
    workers: 2,
    failWith(batch, wants) {
      runs.push(`${batch.shape.join('x')} ${[...wants].sort().join()}`);
      return undefined;
    },
  });
  return { engine, runs: () => runs.splice(0).sort() };
}

const everything = 'embedding,maps,maps_embedding,representation';

test('every worker runs all outputs once on the CPU, and every batch size on CUDA', async () => {
  const cpu = recording('cpu');
  await warmEngine(cpu.engine, { batchImages: 6 });
  const one = `1x56x56x3 ${everything}`;
  assert.deepEqual(cpu.runs(), [one, one]);

  const cuda = recording('cuda');
  await warmEngine(cuda.engine, { batchImages: 6 });
  const sizes = [1, 2, 4, 6].map((size) => `${size}x56x56x3 ${everything}`);
  assert.deepEqual(
    cuda.runs(),
    sizes.flatMap((size) => [size, size]),
  );
});

test('with limited input sizes, CUDA workers run every size in every possible batch size', async () => {
  const sizes = [
    { width: 56, height: 56 },
    { width: 112, height: 112 },
  ];
  const { engine, runs } = recording('cuda');
  const limits = { batchImages: 4, batchPixels: 2 * 112 * 112, output: { inputSizes: sizes } };
  await warmEngine(engine, limits);
  const own = [1, 2, 4].map((size) => `${size}x56x56x3 ${everything}`);
  const large = [1, 2].map((size) => `${size}x112x112x3 ${everything}`);
  assert.deepEqual(runs(), [...own, ...large].flatMap((each) => [each, each]).sort());
  const odd = warmEngine(engine, { output: { inputSizes: [{ width: 100, height: 60 }] } });
  await assert.rejects(odd, {
    code: 'invalid_argument',
    message: /inputSizes: 100x60 is not a multiple of tiny's stride 8; use 104x64/,
  });
});

/** A fake engine on CUDA that records its runs as [images, width], with memory for so many pixels. */
function small(pixels: number) {
  const runs: [number, number][] = [];
  const engine = createFakeEngine({
    manifest,
    provider: 'cuda',
    failWith({ shape }) {
      const [images, height, width] = shape as [number, number, number];
      runs.push([images, width]);
      const full = images * height * width > pixels;
      return full ? new EngineError('out_of_memory', 'CUDA failure 2: out of memory') : undefined;
    },
  });
  return { engine, runs: () => runs.splice(0) };
}

test('batches that do not fit into memory are skipped, separately for each size, also for a replacement', async () => {
  const { engine, runs } = small(4 * 56 * 56);
  const sizes = [
    { width: 112, height: 112 },
    { width: 56, height: 56 },
  ];
  await warmEngine(engine, { batchImages: 16, batchPixels: 16 * 112 * 112, output: { inputSizes: sizes } });
  const tried = [...[1, 2, 4, 8].map((images) => [images, 56]), ...[1, 2].map((images) => [images, 112])];
  assert.deepEqual(
    runs().sort(([a, aWidth], [b, bWidth]) => aWidth - bWidth || a - b),
    tried,
  );
  engine.kill(1, 'gone');
  await engine.revive();
  assert.equal(engine.status.state, 'ready');
});

test('the warm-up fails if a single image does not fit into memory', async () => {
  const { engine } = small(56 * 56 - 1);
  await assert.rejects(warmEngine(engine, { batchImages: 4 }), { name: 'EngineError', code: 'out_of_memory' });
});

test('a replacement of a lost worker is warmed up as the first ones, before it gets tasks', async () => {
  const { engine, runs } = recording('cuda');
  await warmEngine(engine, { batchImages: 4 });
  runs();
  engine.kill(1, 'gone');
  const revived = engine.revive();
  assert.equal(engine.status.state, 'degraded', 'it is not warm yet');
  await revived;
  assert.equal(engine.status.state, 'ready');
  assert.deepEqual(
    runs(),
    [1, 2, 4].map((size) => `${size}x56x56x3 ${everything}`),
  );
});

test('the warm-up fails if the model fails or returns values that are not finite', async () => {
  const failure = new EngineError('internal', 'no such kernel');
  await assert.rejects(warmEngine(createFakeEngine({ manifest, failWith: () => failure }), {}), failure);
  const engine = createFakeEngine({ manifest });
  const warm: typeof engine.warm = (up) =>
    engine.warm((run) =>
      up(async (batch, wants) => {
        const outputs = await run(batch, wants);
        outputs.maps!.data[7] = Number.NaN;
        return outputs;
      }),
    );
  await assert.rejects(warmEngine({ ...engine, warm }, {}), { code: 'internal', message: /output maps .* not finite/ });
});

test("a worker that failed is checked by all outputs for one image of the model's size, which must be finite", async () => {
  const { engine, runs } = recording('cuda');
  let check: WarmUp | undefined;
  const warm: typeof engine.warm = async (_, checkAfter) => {
    check = checkAfter;
  };
  await warmEngine({ ...engine, warm }, { batchImages: 4 });
  await check!(engine.run);
  assert.deepEqual(runs(), [`1x56x56x3 ${everything}`]);
  const illness = check!(async (batch, wants) => {
    const outputs = await engine.run(batch, wants);
    outputs.embedding!.data[3] = Number.POSITIVE_INFINITY;
    return outputs;
  });
  await assert.rejects(illness, { code: 'internal', message: /output embedding .* not finite/ });
});
