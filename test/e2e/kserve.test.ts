import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { type ServiceError, status } from '@grpc/grpc-js';
import { createClient } from '../../src/client/index.js';
import { EngineError } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { modelOutputs } from '../../src/models/modelOutputs.js';
import type { ModelInferResponse__Output } from '../../src/proto/generated/inference/ModelInferResponse.js';
import { inferenceServiceName, loadInferenceService } from '../../src/proto/load.js';
import type { InferenceMethodName } from '../../src/proto/methods.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createToken, createTokenStore, hashToken } from '../../src/serve/operations/auth/tokenStore.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { tensorBytes } from '../../src/tensor/tensor.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { createInferenceClient, type InferenceClient, ofFiles, ofPixels } from '../support/inferenceClient.js';
import { tinyManifest, withTinyModel } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';
import { callWithoutMessage, checkHealth } from './grpcProbe.js';

/** The Open Inference Protocol over a socket, called by a client that is made of its proto. */

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const manifest = { ...tinyManifest, files: {} };

/** The colour of an image at which the engine fails. */
const POISON = 66;
const poisonedRows = Buffer.alloc(56 * 3 * 8, POISON);

/** A model with stages; its runs fail for images with the poison. */
const staged = createFakeEngine({
  manifest: {
    ...manifest,
    name: 'staged',
    version: '7',
    outputs: modelOutputs(tinyManifest.dims, 8, [{ stage: 1, channels: 6, stride: 4 }]),
  },
  failWith: ({ data }) =>
    Buffer.from(data).includes(poisonedRows) ? new EngineError('internal', '/opt/poison') : undefined,
});

/** Pixels of one colour for each image. */
const coloured = (side: number, ...colours: readonly number[]): Buffer =>
  Buffer.concat(colours.map((colour) => Buffer.alloc(side * side * 3, colour)));

/** The contents of an output by its name, with datatype and shape. */
function outputIn({ outputs, rawOutputContents }: ModelInferResponse__Output, name: string) {
  const at = outputs.findIndex((output) => output.name === name);
  assert.ok(at >= 0, `no output ${name}`);
  const { datatype, shape } = outputs[at]!;
  return { datatype, shape, bytes: rawOutputContents[at]! };
}

const bytesOf = (values: Float32Array): Buffer => Buffer.from(values.buffer, values.byteOffset, values.byteLength);

/** A float32 value of some metric lines: their sum. */
function sumOf(text: string, line: RegExp): number {
  return [...text.matchAll(line)].reduce((sum, [, value]) => sum + Number(value), 0);
}

describe('the Open Inference Protocol', () => {
  let model: Awaited<ReturnType<typeof withTinyModel>>;
  let server: RunningServer;
  let kserve: InferenceClient;
  let own: ReturnType<typeof createClient>;
  const lines: Record<string, unknown>[] = [];
  before(async () => {
    model = await withTinyModel();
    const tiny = await createOnnxEngine(model.folder, { device: 'cpu', threads: 1 });
    server = await createServer({
      models: [{ engine: tiny }, { engine: staged }],
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
      logger: createLogger('debug', { write: (line: string) => void lines.push(JSON.parse(line)) }),
    });
    kserve = createInferenceClient(server.address);
    own = createClient({ address: server.address });
    await own.waitForReady();
  });
  after(async () => {
    kserve.close();
    await own.close();
    await server.close();
    await model.remove();
  });

  const metrics = async (): Promise<string> => (await fetch(`http://${server.metricsAddress}/metrics`)).text();

  test('embedding and map equal those of Embed and ExtractFeatures, byte for byte', async () => {
    const image = await photo('astronaut.jpg');
    const response = await kserve.call('ModelInfer', ofFiles([image], { id: 'one' }));
    const { modelName, modelVersion, id, parameters } = response;
    assert.deepEqual(
      { modelName, modelVersion, id, parameters },
      { modelName: 'tiny', modelVersion: '1', id: 'one', parameters: {} },
    );
    const { vector } = await own.embed(image);
    const { data } = await own.features(image);
    assert.deepEqual(outputIn(response, 'embedding'), { datatype: 'FP32', shape: [1, 16], bytes: bytesOf(vector) });
    assert.deepEqual(outputIn(response, 'map'), { datatype: 'FP32', shape: [1, 7, 7, 16], bytes: bytesOf(data) });
  });

  test('parameters select space, length, type and size, of a request or of an output', async () => {
    const image = await photo('coffee.jpg');
    const resize = { kind: 'fit', width: 96, height: 64 } as const;
    const fit = { resize: { stringParam: 'fit:96x64' } };
    const l2 = { l2_normalize: { boolParam: true } };
    const half = { datatype: { stringParam: 'FP16' } };
    const response = await kserve.call(
      'ModelInfer',
      ofFiles([image], {
        parameters: { ...fit, ...half, ...l2 },
        outputs: [
          { name: 'map', parameters: { space: { stringParam: 'local_projector' } } },
          {
            name: 'embedding',
            parameters: { space: { stringParam: 'expander' }, datatype: { stringParam: 'FP32' } },
          },
        ],
      }),
    );
    assert.deepEqual(
      response.outputs.map(({ name }) => name),
      ['map', 'embedding'],
    );
    const placed = { pixels: image, resize };
    const map = await own.features(placed, { space: 'localProjector', l2Normalize: true, dtype: 'float16' });
    assert.deepEqual(outputIn(response, 'map'), {
      ...{ datatype: 'FP16', shape: [1, 8, 12, 12] },
      bytes: Buffer.from(tensorBytes(map.tensor)),
    });
    const { vector } = await own.embed(placed, { space: 'expander', l2Normalize: true });
    assert.deepEqual(outputIn(response, 'embedding'), { datatype: 'FP32', shape: [1, 20], bytes: bytesOf(vector) });
  });

  test('images of a request come back in their order, as pixels and in typed contents too', async () => {
    const pixels = coloured(56, 10, 200, 90);
    const target = { modelName: 'staged' };
    const response = await kserve.call('ModelInfer', ofPixels([3, 56, 56, 3], pixels, target));
    const vectors = await Promise.all(
      [10, 200, 90].map((colour) =>
        own.embed({ width: 56, height: 56, rgb: coloured(56, colour) }, { model: 'staged' }),
      ),
    );
    const expected = vectors.map(({ vector }) => bytesOf(vector));
    const embedding = outputIn(response, 'embedding');
    assert.deepEqual(embedding, { datatype: 'FP32', shape: [3, 16], bytes: Buffer.concat(expected) });
    const typed = await kserve.call('ModelInfer', {
      ...target,
      inputs: [{ name: 'pixels', datatype: 'UINT8', shape: [3, 56, 56, 3], contents: { uintContents: [...pixels] } }],
    });
    assert.deepEqual(typed.rawOutputContents, response.rawOutputContents);

    const files = [await photo('coffee.jpg'), await photo('chelsea.png')];
    const raw = await kserve.call('ModelInfer', ofFiles(files, target));
    assert.deepEqual(outputIn(raw, 'map').shape, [2, 7, 7, 16]);
    const contents = { bytesContents: files };
    const inputs = [{ name: 'image', datatype: 'BYTES', shape: [2], contents }];
    assert.deepEqual((await kserve.call('ModelInfer', { ...target, inputs })).rawOutputContents, raw.rawOutputContents);
  });

  test('a stage is a parameter of the map, and a model without it names its own', async () => {
    const outputs = [{ name: 'map', parameters: { stage: { int64Param: 1 } } }];
    const pixels = coloured(56, 30);
    const request = ofPixels([1, 56, 56, 3], pixels, { outputs });
    const response = await kserve.call('ModelInfer', { ...request, modelName: 'staged' });
    const { maps } = await own.features({ width: 56, height: 56, rgb: pixels }, { stages: [1], model: 'staged' });
    assert.deepEqual(outputIn(response, 'map'), {
      ...{ datatype: 'FP32', shape: [1, 14, 14, 6] },
      bytes: bytesOf(maps[0]!.data as Float32Array),
    });
    const { code, details } = await kserve.failure('ModelInfer', request);
    assert.equal(code, 'FAILED_PRECONDITION');
    assert.match(details, /no map of stage 1/);
  });

  /** Images that are run and decoded during some work. */
  async function costOf(work: () => Promise<unknown>): Promise<{ images: number; decoded: number }> {
    const counts = async () => {
      const text = await metrics();
      const decoded = /^vicregl_phase_duration_seconds_count\{(?=.*phase="decode").*\} (\d+)$/gm;
      return { images: sumOf(text, /^vicregl_batch_images_sum (\d+)$/gm), decoded: sumOf(text, decoded) };
    };
    const first = await counts();
    await work();
    const then = await counts();
    return { images: then.images - first.images, decoded: then.decoded - first.decoded };
  }

  test('both outputs of an image take one decoding and one run', async () => {
    const image = await photo('coffee.jpg');
    const cost = await costOf(() => kserve.call('ModelInfer', ofFiles([image])));
    assert.deepEqual(cost, { images: 1, decoded: 1 });
  });

  test('an invalid image fails its request, and the error names the first one in the order of the request', async () => {
    const image = await photo('coffee.jpg');
    const truncated = image.subarray(0, 9000);
    // The text is rejected at once, and the truncated file in front of it after it was decoded.
    const files = [image, truncated, Buffer.from('no picture'), image];
    const { code, details, facts } = await kserve.failure('ModelInfer', ofFiles(files));
    assert.equal(code, 'INVALID_ARGUMENT');
    assert.match(details, /^image\[1\]: JPEG is damaged/);
    assert.equal(facts?.reason, 'IMAGE_CORRUPT');
    assert.equal((await kserve.call('ModelInfer', ofFiles([image]))).outputs.length, 2);
  });

  test('an image at which the network fails is named too, and nothing of the machine is', async () => {
    const poisoned = Buffer.concat([coloured(56, 1), coloured(56, POISON)]);
    const { code, details } = await kserve.failure(
      'ModelInfer',
      ofPixels([2, 56, 56, 3], poisoned, { modelName: 'staged' }),
    );
    assert.equal(code, 'INTERNAL');
    assert.match(details, /^pixels\[1\]: inference failed/);
    assert.doesNotMatch(details, /opt/);
  });

  test('maps of different sizes are rejected before the network runs, with what to do', async () => {
    const native = { resize: { stringParam: 'native' } };
    const files = [await photo('coffee.jpg'), await photo('chelsea.png')];
    const request = ofFiles(files, { parameters: native });
    const { code, details } = await kserve.failure('ModelInfer', request);
    assert.equal(code, 'INVALID_ARGUMENT');
    assert.match(
      details,
      /^image\[1\]: its map has \d+ x \d+ cells, and that of image\[0\] has \d+ x \d+, .*fit:WIDTHxHEIGHT$/,
    );
    // The others wait for the first one before they are decoded, so that no pixels wait for it.
    const damaged = ofFiles([files[0]!.subarray(0, 9000), ...files], { parameters: native });
    assert.deepEqual(await costOf(() => kserve.failure('ModelInfer', damaged)), { images: 0, decoded: 1 });
    // Vectors have one shape.
    const vectors = await kserve.call('ModelInfer', { ...request, outputs: [{ name: 'embedding' }] });
    assert.deepEqual(outputIn(vectors, 'embedding').shape, [2, 16]);
  });

  test('a model or a version that is not served is NOT_FOUND, naming what is served', async () => {
    const image = await photo('coffee.jpg');
    for (const [wrong, text] of [
      [
        { modelName: 'other' },
        /^model_name: "other" is not served here; served: "tiny" version "1", "staged" version "7"/,
      ],
      [{ modelName: 'tiny', modelVersion: '7' }, /^model_version: "7" of "tiny" is not served here; served: "tiny"/],
      [{ modelVersion: '2' }, /^model_version: "2" of "tiny"/],
    ] as const) {
      const { code, details, facts } = await kserve.failure('ModelInfer', ofFiles([image], wrong));
      assert.deepEqual([code, facts?.reason], ['NOT_FOUND', 'UNKNOWN_MODEL']);
      assert.match(details, text);
    }
    const right = await kserve.call('ModelInfer', ofFiles([image], { modelName: 'staged', modelVersion: '7' }));
    assert.deepEqual([right.modelName, right.modelVersion], ['staged', '7']);
    for (const method of ['ModelReady', 'ModelMetadata'] as const) {
      const { code, details } = await kserve.failure(method, { name: 'tiny', version: '3' });
      assert.equal(code, 'NOT_FOUND');
      assert.match(details, /^version: "3" of "tiny"/);
    }
  });

  test('live, ready and metadata are answered, and health knows the name of the service', async () => {
    assert.deepEqual(await kserve.call('ServerLive', {}), { live: true });
    assert.deepEqual(await kserve.call('ServerReady', {}), { ready: true });
    assert.deepEqual(await kserve.call('ModelReady', { name: 'staged', version: '7' }), { ready: true });
    assert.equal(await checkHealth(server.address, inferenceServiceName), 'SERVING');
    const { name, version, extensions } = await kserve.call('ServerMetadata', {});
    assert.deepEqual({ name, extensions }, { name: 'vicregl', extensions: ['model_repository'] });
    assert.equal(version, JSON.parse(await readFile('package.json', 'utf8')).version);
    assert.deepEqual(await kserve.call('ModelMetadata', { name: 'staged' }), {
      name: 'staged',
      versions: ['7'],
      platform: 'onnx_onnxv1',
      inputs: [
        { name: 'image', datatype: 'BYTES', shape: [-1] },
        { name: 'pixels', datatype: 'UINT8', shape: [-1, -1, -1, 3] },
      ],
      outputs: [
        { name: 'embedding', datatype: 'FP32', shape: [-1, 16] },
        { name: 'map', datatype: 'FP32', shape: [-1, -1, -1, 16] },
      ],
      properties: {
        ...{ architecture: 'custom', precision: 'float32', license: 'Apache-2.0', stride: '8' },
        ...{ 'channels.embedding.backbone': '16', 'channels.embedding.expander': '20' },
        ...{ 'channels.map.backbone': '16', 'channels.map.local_projector': '12', 'channels.map.stage1': '6' },
      },
    });
  });

  test('the repository is listed; load and unload are UNIMPLEMENTED and name the admin call', async () => {
    const ready = { state: 'READY', reason: '' };
    const models = [
      { name: 'tiny', version: '1', ...ready },
      { name: 'staged', version: '7', ...ready },
    ];
    assert.deepEqual(await kserve.call('RepositoryIndex', {}), { models });
    assert.deepEqual(await kserve.call('RepositoryIndex', { ready: true }), { models });
    const { code: other } = await kserve.failure('RepositoryIndex', { repositoryName: 'other' });
    assert.equal(other, 'INVALID_ARGUMENT');
    for (const method of ['RepositoryModelLoad', 'RepositoryModelUnload'] as const) {
      const { code, details, facts } = await kserve.failure(method, { modelName: 'tiny' });
      assert.deepEqual([code, facts?.reason], ['UNIMPLEMENTED', 'NOT_OFFERED']);
      assert.match(details, /POST \/reload\?model=NAME/);
    }
  });

  test('a model without a worker is not ready, and its place in the index says why', async () => {
    staged.kill(1, 'the worker of the test is gone');
    try {
      assert.deepEqual(await kserve.call('ModelReady', { name: 'staged' }), { ready: false });
      // The state of the server is that of its default model.
      assert.deepEqual(await kserve.call('ServerReady', {}), { ready: true });
      const { models } = await kserve.call('RepositoryIndex', {});
      assert.deepEqual(models[1], {
        ...{ name: 'staged', version: '7', state: 'UNAVAILABLE' },
        reason: 'the worker of the test is gone',
      });
      assert.equal((await kserve.call('RepositoryIndex', { ready: true })).models.length, 1);
    } finally {
      await staged.revive();
    }
    assert.deepEqual(await kserve.call('ModelReady', { name: 'staged' }), { ready: true });
  });

  test('every method of the proto is answered, and counted under its name', async () => {
    const names = Object.keys(loadInferenceService().service) as InferenceMethodName[];
    assert.equal(names.length, 9);
    const countOf = (text: string, name: string) =>
      sumOf(text, new RegExp(`^vicregl_requests_total\\{method="${name}",.*\\} (\\d+)$`, 'gm'));
    const first = await metrics();
    for (const name of names) {
      const code = await kserve.call(name, {}).then(
        () => 'OK',
        (error: ServiceError) => status[error.code],
      );
      const expected = name === 'ModelInfer' ? 'INVALID_ARGUMENT' : /Load|Unload/.test(name) ? 'UNIMPLEMENTED' : 'OK';
      assert.equal(code, expected, name);
    }
    await untilMetric(server.metricsAddress, /^vicregl_requests_in_flight\{method="RepositoryModelUnload"\} 0$/m);
    const then = await metrics();
    for (const name of names) assert.equal(countOf(then, name) - countOf(first, name), 1, name);
  });

  test('a deadline ends a request', async () => {
    const image = await photo('coffee.jpg');
    const { code } = await kserve.failure('ModelInfer', ofFiles([image]), { deadlineMs: 1 });
    assert.equal(code, 'DEADLINE_EXCEEDED');
  });

  test('calls and images are counted under their own names, and log lines have the protocol', async () => {
    const sums = (text: string) => ({
      ok: sumOf(text, /^vicregl_requests_total\{method="ModelInfer",code="OK"\} (\d+)$/gm),
      items: sumOf(text, /^vicregl_items_total\{method="ModelInfer",code="OK"\} (\d+)$/gm),
      corrupt: sumOf(text, /^vicregl_requests_rejected_total\{method="ModelInfer",reason="IMAGE_CORRUPT"\} (\d+)$/gm),
      received: sumOf(text, /^vicregl_received_bytes_total\{method="ModelInfer"\} (\d+)$/gm),
    });
    const first = sums(await metrics());
    const image = await photo('coffee.jpg');
    await kserve.call('ModelInfer', ofFiles([image, image]));
    await kserve.failure('ModelInfer', ofFiles([image, image.subarray(0, 9000)]));
    const rejected = `method="ModelInfer",reason="IMAGE_CORRUPT"} ${first.corrupt + 1}`;
    await untilMetric(server.metricsAddress, new RegExp(rejected));
    const then = sums(await metrics());
    assert.deepEqual(
      { ok: then.ok - first.ok, items: then.items - first.items, corrupt: then.corrupt - first.corrupt },
      { ok: 1, items: 2, corrupt: 1 },
    );
    assert.ok(then.received - first.received > 2 * image.length);
    // Rejected before its message is read.
    const many = 'x'.repeat(20_000);
    const large = await kserve.failure('ModelInfer', ofFiles([image]), { metadata: { many } });
    assert.deepEqual([large.code, large.facts?.reason], ['RESOURCE_EXHAUSTED', 'TOO_LARGE']);
    const logged = lines.filter(({ method }) => method === 'ModelInfer').slice(-3);
    assert.deepEqual(
      logged.map(({ protocol, code }) => [protocol, code]),
      [
        ['kserve', 'OK'],
        ['kserve', 'INVALID_ARGUMENT'],
        ['kserve', 'RESOURCE_EXHAUSTED'],
      ],
    );
  });
});

test('a full queue rejects ModelInfer before its message arrives', async () => {
  const held = createHeldEngine();
  const server = await createServer({
    models: [{ engine: held.engine }],
    ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    logger: createLogger('silent'),
    limits: { ...defaultServeLimits, queueImages: 1 },
  });
  const kserve = createInferenceClient(server.address);
  const request = ofPixels([1, 56, 56, 3], coloured(56, 1));
  const begun = held.nextRun();
  const first = kserve.call('ModelInfer', request);
  await begun;
  const second = kserve.call('ModelInfer', request);
  await untilMetric(server.metricsAddress, /^vicregl_queue_images\{.*\} 1$/m);
  const refused = await callWithoutMessage(server.address, `/${inferenceServiceName}/ModelInfer`, {});
  assert.equal(refused['grpc-status'], String(status.RESOURCE_EXHAUSTED));
  await untilMetric(
    server.metricsAddress,
    /^vicregl_requests_rejected_total\{method="ModelInfer",reason="OVERLOADED"\} 1$/m,
  );
  held.free();
  await Promise.all([first, second]);
  // A caller that gives up leaves the queue, with all of its images.
  held.hold();
  const running = held.nextRun();
  const third = kserve.call('ModelInfer', request);
  await running;
  const given = await kserve.failure('ModelInfer', request, { deadlineMs: 200 });
  assert.equal(given.code, 'DEADLINE_EXCEEDED');
  await untilMetric(server.metricsAddress, /^vicregl_queue_images\{.*\} 0$/m);
  held.free();
  await third;
  // More images than places: the request is rejected as a whole, and its places are free again.
  const over = await kserve.failure('ModelInfer', ofPixels([2, 56, 56, 3], coloured(56, 1, 2)));
  assert.deepEqual([over.code, over.facts?.reason], ['RESOURCE_EXHAUSTED', 'OVERLOADED']);
  assert.equal((await kserve.call('ModelInfer', request)).outputs.length, 2);
  kserve.close();
  await server.close();
});

test('tokens are required, but not to ask whether the server lives and is ready', async () => {
  const token = createToken();
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest }) }],
    ...{ address: '127.0.0.1:0', metricsAddress: 'off' },
    logger: createLogger('silent'),
    auth: {
      store: createTokenStore([{ name: 'caller', sha256: hashToken(token).toString('hex'), admin: false }]),
      openHealth: true,
    },
  });
  const kserve = createInferenceClient(server.address);
  assert.deepEqual(await kserve.call('ServerLive', {}), { live: true });
  assert.deepEqual(await kserve.call('ServerReady', {}), { ready: true });
  const request = ofPixels([1, 56, 56, 3], coloured(56, 1));
  for (const method of ['ModelReady', 'ServerMetadata', 'ModelInfer', 'RepositoryIndex'] as const) {
    assert.equal((await kserve.failure(method, request)).code, 'UNAUTHENTICATED', method);
  }
  assert.equal((await kserve.call('ModelInfer', request, { token })).outputs.length, 2);
  kserve.close();
  await server.close();
});

test('a shutdown makes the server not ready before it refuses calls', async () => {
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest }) }],
    ...{ address: '127.0.0.1:0', metricsAddress: 'off' },
    logger: createLogger('silent'),
    shutdown: { delayMs: 2000, graceMs: 1000 },
  });
  const kserve = createInferenceClient(server.address);
  assert.deepEqual(await kserve.call('ServerReady', {}), { ready: true });
  const closed = server.close();
  assert.deepEqual(await kserve.call('ServerReady', {}), { ready: false });
  assert.deepEqual(await kserve.call('ServerLive', {}), { live: true });
  kserve.close();
  await server.close(true);
  await closed;
});
