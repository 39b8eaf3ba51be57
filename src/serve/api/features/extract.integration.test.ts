import assert from 'node:assert/strict';
import { test } from 'node:test';
import { createHeldEngine } from '../../../../test/support/heldEngine.js';
import { turnsWhile } from '../../../../test/support/turnsWhile.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import { createAdmission } from '../../admission/admission.js';
import { createPhaseRecorder } from '../../call/phases.js';
import { defaultServeLimits } from '../../config/serveLimits.js';
import { createService } from '../service.js';

const side = 224;
const call = { signal: new AbortController().signal, observe: () => {} };

/** Requests the map of one image, which the fake engine computes from its colours. */
function request(options: Partial<ExtractFeaturesRequest__Output> = {}, side = 224): ExtractFeaturesRequest__Output {
  const rgb = Buffer.from(Uint8Array.from({ length: side * side * 3 }, (_, i) => (i * 7919) % 251));
  return {
    model: '',
    image: { raw: { width: side, height: side, rgb }, source: 'raw', native: {}, resize: 'native', crop: null },
    space: 'LOCAL_SPACE_UNSPECIFIED',
    l2Normalize: false,
    dtype: 'DATA_TYPE_FLOAT32',
    stages: [],
    pooling: null,
    pca: null,
    upsample: null,
    tiles: null,
    ...options,
  };
}
const pca = { components: 1, basis: null };

test('the bytes of maps to be pooled or reduced are reserved before the network runs', async () => {
  const { engine, runs, free, nextRun } = createHeldEngine();
  const { stride, dims } = engine.manifest;
  const bytes = (side / stride) ** 2 * dims.representation * 4;
  const limits = { ...defaultServeLimits, mapBytes: 2 * bytes - 1, batchImages: 1 };
  const admission = createAdmission(limits, [engine]);
  const { mapBytes } = admission;
  const service = createService({ models: [{ engine }], limits, admission });
  const { handle: extractFeatures } = service.methods.ExtractFeatures;
  const running = nextRun();
  const first = extractFeatures(request({ pca }), call);
  await running;
  assert.equal(mapBytes.held, bytes);
  const box = { left: 0, top: 0, right: 100, bottom: 100 };
  const pooling = { regions: [{ box, shape: 'box' as const }] };
  // Of the cells under the box, and of the reader for all cells.
  const weights = Math.ceil(100 / stride) ** 2 * 12 + (side / stride) ** 2 * 8;
  await assert.rejects(extractFeatures(request({ pooling }), call), {
    code: 'overloaded',
    limit: { name: 'mapBytes', value: 2 * bytes - 1 },
    message: new RegExp(
      `^maps for pooling, PCA, upsampling, tiles and matching hold ${bytes} bytes, and ${bytes + weights} more would exceed .* \\(mapBytes\\)`,
    ),
  });
  assert.equal(runs.length, 1, 'what is refused costs no run');
  const plain = extractFeatures(request(), call);
  // Half of the bytes is less than one map: a stream item waits for all earlier waiters.
  const ofStream = extractFeatures(request({ pooling }), { ...call, waitsForCapacity: true });
  free();
  assert.deepEqual((await ofStream).features?.shape, [1, dims.representation]);
  assert.deepEqual((await first).features?.shape, [side / stride, side / stride, 1]);
  assert.ok((await plain).features, 'a map that is sent as it is does not count');
  const empty = { regions: [{ mask: null, shape: 'mask' as const }] };
  await assert.rejects(extractFeatures(request({ pooling: empty }), call), { code: 'invalid_argument' });
  // Calls that were answered and calls that failed have released their bytes.
  assert.deepEqual((await extractFeatures(request({ pooling }), call)).features?.shape, [1, dims.representation]);
  assert.equal(mapBytes.held, 0);
  await service.close();
});

test('an image in tiles reserves a place for each before it is decoded, and the bytes of the merged and enlarged map', async () => {
  const { engine, runs, free, nextRun } = createHeldEngine();
  const { stride, dims } = engine.manifest;
  const cells = (side / stride) ** 2;
  const limits = { ...defaultServeLimits, queueImages: 8, tilesPerImage: 8, batchImages: 1 };
  const admission = createAdmission(limits, [engine]);
  const service = createService({ models: [{ engine }], limits, admission });
  const { handle } = service.methods.ExtractFeatures;
  // 224 pixels in windows of 112 without overlap: 4 tiles. `fit` states them, `native` reserves all 8 places.
  const tiles = { width: 112, height: 0, overlap: 0 };
  const fit = { width: side, height: side };
  const tiled = (options: Partial<ExtractFeaturesRequest__Output> = {}) => {
    const { image } = request();
    return request({ tiles, image: { ...image!, fit, resize: 'fit', native: null }, ...options });
  };
  const running = nextRun();
  const first = handle(tiled({ upsample: { factor: 2, to: 'factor' } }), call);
  await running;
  assert.equal(admission.mapBytes.held, cells * (1 + 4) * dims.representation * 4);
  await assert.rejects(handle(request({ tiles }), call), {
    code: 'overloaded',
    limit: { name: 'queueImages', value: 8 },
  });
  const second = handle(tiled(), call);
  await assert.rejects(handle(tiled(), call), { code: 'overloaded', limit: { name: 'queueImages', value: 8 } });
  assert.equal(runs.length, 1, 'what is refused costs no run');
  const ofStream = handle(request({ tiles }), { ...call, waitsForCapacity: true });
  free();
  assert.deepEqual((await first).features?.shape, [(2 * side) / stride, (2 * side) / stride, dims.representation]);
  for (const answer of [await second, await ofStream]) {
    assert.deepEqual(answer.features?.shape, [side / stride, side / stride, dims.representation]);
  }
  assert.equal(runs.length, 12);
  assert.equal(admission.mapBytes.held, 0);
  assert.ok((await handle(request({ tiles }), call)).features, 'all places are free again');
  await service.close();
});

test('processing a large map does not block the event loop', async () => {
  // 256 x 256 cells of 16 channels: 4 slices.
  const large = 2048;
  async function turnsOf(options: Partial<ExtractFeaturesRequest__Output>): Promise<number> {
    const { engine, free, nextRun } = createHeldEngine();
    const service = createService({ models: [{ engine }] });
    const running = nextRun();
    const answer = service.methods.ExtractFeatures.handle(
      request({ ...options, maxResponseBytes: 64 * 1024 * 1024 }, large),
      call,
    );
    await running;
    const turns = await turnsWhile(() => {
      free();
      return answer;
    });
    await service.close();
    return turns;
  }
  // The first response takes several turns of the event loop because modules are loaded.
  await turnsOf({});
  for (const dtype of ['DATA_TYPE_FLOAT16', 'DATA_TYPE_INT8'] as const) {
    const turns = await turnsOf({ l2Normalize: true, dtype });
    assert.ok(turns >= 6, `${dtype}: ${turns} turns of the event loop`);
  }
});

test('the waits of pooling and PCA are in the phase wait, and not in encode', async (t) => {
  let now = 0;
  t.mock.method(performance, 'now', () => now);
  const { engine, free, nextRun } = createHeldEngine();
  const admission = createAdmission(defaultServeLimits, [engine]);
  const service = createService({ models: [{ engine }], admission });
  const box = { left: 0, top: 0, right: 100, bottom: 100 };
  const pooling = { regions: [box, box].map((each) => ({ box: each, shape: 'box' as const })) };
  for (const options of [{ pooling }, { pca }]) {
    const { observe, seconds } = createPhaseRecorder(() => {});
    let end = (): void => {};
    const other = admission.reducing.run(call, () => new Promise<void>((resolve) => (end = resolve)));
    const running = nextRun();
    const answer = service.methods.ExtractFeatures.handle(request(options), { ...call, observe });
    await running;
    free();
    while (!seconds.has('inference')) await new Promise(setImmediate);
    // A request that waits for the running reduction waits for 3 s.
    await new Promise(setImmediate);
    now += 3000;
    end();
    await Promise.all([other, answer]);
    assert.deepEqual([seconds.get('wait'), seconds.get('encode')], [3, 0], Object.keys(options)[0]);
  }
  await service.close();
});

test('a request of a batch has the maximum of the batch, unless it names its own', async () => {
  const { engine, free } = createHeldEngine();
  free();
  const service = createService({ models: [{ engine }], limits: defaultServeLimits });
  const { handle } = service.methods.ExtractFeaturesBatch;
  // More than the 4 MiB that a message has by default.
  const large = request({ upsample: { size: { rows: 300, columns: 300 } } as never });
  const own = { ...large, maxResponseBytes: 1024 };
  const { results } = await handle({ requests: [large, own], maxResponseBytes: 2 ** 25 }, call);
  assert.deepEqual(results![0]!.response?.features?.shape?.slice(0, 2), [300, 300]);
  assert.match(results![1]!.status!.message!, /over the limit of 1024 /);
  const [only] = (await handle({ requests: [large] }, call)).results!;
  assert.match(only!.status!.message!, /max_response_bytes of up to/);
  await service.close();
});
