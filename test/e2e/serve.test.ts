import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { pino } from 'pino';
import { createClient, type VicreglError } from '../../src/client/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { createOnnxEngine } from '../../src/engine/onnxEngine.js';
import { decodeInput } from '../../src/image/decodeInput.js';
import { serviceName } from '../../src/proto/load.js';
import { decodeFacts } from '../../src/proto/statusDetails.js';
import { defaultServeLimits, type ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { failsWith } from '../support/failsWith.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { tinyManifest, withTinyModel } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';
import { callWithoutMessage, checkHealth, listServices, sendBytes, watchHealth } from './grpcProbe.js';

const photo = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
const manifest = { ...tinyManifest, files: {} };
const logger = pino({ level: 'silent' });

async function start(engine: Engine, limits: Partial<ServeLimits> = {}, log = logger) {
  const server = await createServer({
    models: [{ engine }],
    logger: log,
    address: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    limits: { ...defaultServeLimits, ...limits },
  });
  const client = createClient({ address: server.address, deadlineMs: 20_000 });
  const http = async (path: string) => {
    const response = await fetch(`http://${server.metricsAddress}${path}`);
    return { status: response.status, text: await response.text() };
  };
  return {
    server,
    client,
    http,
    until: (line: RegExp) => untilMetric(server.metricsAddress, line),
    async stop() {
      await client.close();
      await server.close();
    },
  };
}

/**
 * Keeps an engine busy with one image, and fills its queue of one with another.
 * @returns function that lets both be answered
 */
async function fillQueue(
  { client, until }: Pick<Awaited<ReturnType<typeof start>>, 'client' | 'until'>,
  { nextRun, free }: ReturnType<typeof createHeldEngine>,
  image: { readonly width: number; readonly height: number; readonly rgb: Uint8Array },
): Promise<() => Promise<void>> {
  const begun = nextRun();
  const first = client.embed(image);
  await begun;
  const second = client.embed(image);
  await until(/^vicregl_queue_images\{.*\} 1$/m);
  return async () => {
    free();
    await Promise.all([first, second]);
  };
}

describe('the service over a socket, with ONNX Runtime', () => {
  let service: Awaited<ReturnType<typeof start>>;
  let model: Awaited<ReturnType<typeof withTinyModel>>;

  before(async () => {
    model = await withTinyModel();
    service = await start(await createOnnxEngine(model.folder, { device: 'cpu', threads: 1 }));
    await service.client.waitForReady();
  });
  after(async () => {
    await service.stop();
    await model.remove();
  });

  test('Embed returns the same vector as running the graph directly', async () => {
    const image = await photo('astronaut.jpg');
    const { vector, tensor } = await service.client.embed(image);
    const { image: input } = await decodeInput(
      { encoded: image },
      { policy: { kind: 'shortestSide', resize: 64, crop: 56 }, stride: 8, limits: defaultServeLimits },
    );
    const engine = await createOnnxEngine(model.folder, { device: 'cpu', threads: 1 });
    const batch = { dtype: 'uint8', shape: [1, 56, 56, 3], data: input.data } as const;
    const { representation } = await engine.run(batch, new Set(['representation']));
    await engine.close();
    assert.deepEqual(tensor.shape, [16]);
    assert.deepEqual(vector, representation!.data);
  });

  test('ExtractFeatures returns maps in float32 and float16', async () => {
    const image = await photo('coffee.jpg');
    const { data, shape, grid } = await service.client.features(image, { space: 'localProjector' });
    assert.deepEqual(shape, [7, 7, 12]);
    assert.deepEqual(grid.original, { width: 600, height: 400 });
    const half = await service.client.features(image, { space: 'localProjector', dtype: 'float16' });
    for (const [i, value] of half.data.entries()) assert.ok(Math.abs(value - data[i]!) <= Math.abs(data[i]!) * 1e-3);
  });

  test('Match by features finds the same cells in the same photograph', async () => {
    const image = await photo('chelsea.png');
    const { pairs } = await service.client.match(image, image, { topGamma: 0 });
    assert.equal(pairs.length, 49);
    for (const { a, b } of pairs) assert.deepEqual(a, b);
  });

  test('Match by location pairs overlapping crops', async () => {
    const pixels = await photo('coffee.jpg');
    const { pairs } = await service.client.match(
      { pixels, crop: { left: 0, top: 0, width: 336, height: 336 } },
      { pixels, crop: { left: 96, top: 48, width: 336, height: 336, flip: true } },
      { by: 'location', topGamma: 0, maxDistance: 1e-3 },
    );
    assert.equal(pairs.length, 5 * 6);
    assert.equal(pairs[0]!.similarity, undefined);
  });

  test('GetModel returns the facts of the manifest', async () => {
    const { name, version, stride, provider, dimensions } = await service.client.model();
    assert.deepEqual({ name, version, stride, provider }, { name: 'tiny', version: '1', stride: 8, provider: 'cpu' });
    assert.deepEqual(dimensions, { backbone: 16, localProjector: 12, expander: 20 });
  });

  test('a bad image is INVALID_ARGUMENT with the reason, and the next request works', async () => {
    const image = await photo('astronaut.jpg');
    await assert.rejects(
      service.client.embed(image.subarray(0, 20_000)),
      failsWith(
        'INVALID_ARGUMENT',
        /^image: JPEG is damaged: it has no more data near row \d+ of 512; check/,
        'IMAGE_CORRUPT',
      ),
    );
    assert.equal((await service.client.embed(image)).vector.length, 16);
  });

  test('an unknown model is NOT_FOUND', async () => {
    const image = await photo('astronaut.jpg');
    await assert.rejects(service.client.embed(image, { model: 'other' }), failsWith('NOT_FOUND', /"other"/));
    await assert.rejects(service.client.model({ model: 'other' }), failsWith('NOT_FOUND', /"other"/));
  });

  test('bytes that are not a message are INVALID_ARGUMENT', async () => {
    const { code, details } = await sendBytes(
      service.server.address,
      '/vicregl.v1.VicreglService/Embed',
      Buffer.from([0x12, 0xff, 0xff, 0x03, 1]),
    );
    assert.equal(code, status.INVALID_ARGUMENT, details);
    assert.match(details, /not a valid Embed request/);
  });

  test('health and reflection answer', async () => {
    assert.equal(await checkHealth(service.server.address), 'SERVING');
    for (const name of ['', '/tiny', '/tiny@1']) {
      assert.equal(await checkHealth(service.server.address, `vicregl.v1.VicreglService${name}`), 'SERVING');
    }
    const listed = await listServices(service.server.address);
    for (const name of ['grpc.health.v1.Health', 'vicregl.v1.VicreglService']) assert.ok(listed.includes(name), name);
  });

  test('/metrics, /healthz and /readyz answer', async () => {
    assert.deepEqual(await service.http('/healthz'), { status: 200, text: 'ok\n' });
    assert.deepEqual(await service.http('/readyz'), { status: 200, text: 'ready\n' });
    assert.equal((await service.http('/other')).status, 404);
    const { text } = await service.http('/metrics');
    for (const line of [
      /^vicregl_requests_total\{method="Match",code="OK"\} 2$/m,
      /^vicregl_requests_total\{method="Embed",code="NOT_FOUND"\} 1$/m,
      /^vicregl_requests_total\{method="GetModel",code="NOT_FOUND"\} 1$/m,
      /^vicregl_requests_in_flight\{method="Embed"\} 0$/m,
      /^vicregl_request_duration_seconds_count\{method="ExtractFeatures"\} 2$/m,
      /^vicregl_phase_duration_seconds_count\{method="Match",phase="match"\} 2$/m,
      /^vicregl_batch_images_count \d+$/m,
      /^vicregl_queue_images\{name="tiny",version="1"\} 0$/m,
      /^vicregl_model_info\{name="tiny",version="1",architecture="custom",precision="float32",provider="cpu"\} 1$/m,
      /^process_cpu_user_seconds_total /m,
    ]) {
      assert.match(text, line);
    }
  });

  test('concurrent requests share a batch and get the same answers as alone', async () => {
    const images = await Promise.all(['astronaut.jpg', 'chelsea.png', 'coffee.jpg'].map(photo));
    const alone = [];
    for (const image of images) alone.push((await service.client.embed(image)).vector);
    const together = await Promise.all(
      Array.from({ length: 24 }, (_, i) => service.client.embed(images[i % images.length]!)),
    );
    for (const [i, { vector }] of together.entries()) {
      const expected = alone[i % alone.length]!;
      for (const [k, value] of vector.entries()) assert.ok(Math.abs(value - expected[k]!) < 1e-5);
    }
  });
});

describe('the service under limits and failures, with the fake engine', () => {
  test('a message over the limit is RESOURCE_EXHAUSTED and counted, and the next small one is answered', async () => {
    const { client, http, stop } = await start(createFakeEngine({ manifest }), { maxMessageBytes: 100_000 });
    const large = { width: 300, height: 300, rgb: new Uint8Array(270_000) };
    await assert.rejects(client.embed(large), (error: VicreglError) => {
      failsWith('RESOURCE_EXHAUSTED', /larger than max.*100000\) bytes \(maxMessageBytes\); send smaller/)(error);
      assert.equal(error.reason, 'TOO_LARGE');
      return true;
    });
    assert.equal((await client.embed(await photo('coffee.jpg'))).vector.length, 16);
    const { text } = await http('/metrics');
    assert.match(text, /vicregl_requests_total\{method="Embed",code="RESOURCE_EXHAUSTED"\} 1/);
    assert.match(text, /vicregl_requests_rejected_total\{method="Embed",reason="TOO_LARGE"\} 1/);
    assert.doesNotMatch(text, /code="NO_MESSAGE"/);
    await stop();
  });

  test('requests over the byte budget are RESOURCE_EXHAUSTED until others are answered', async () => {
    const { engine, nextRun, free } = createHeldEngine();
    const { client, stop } = await start(engine, { requestBytes: 20_000 });
    const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
    const begun = nextRun();
    const first = client.embed(image);
    await begun;
    await assert.rejects(client.embed(image), (error: VicreglError) => {
      failsWith('RESOURCE_EXHAUSTED', /12\d{3} more would exceed the limit of 20000 \(requestBytes\)/)(error);
      assert.deepEqual(error.limit, { name: 'requestBytes', value: 20_000 });
      return true;
    });
    free();
    await first;
    assert.equal((await client.embed(image)).vector.length, 16);
    await stop();
  });

  test('a message with very many entries is rejected before decoding, and the next one is answered', async () => {
    const { client, server, stop } = await start(createFakeEngine({ manifest }));
    // Field 1, an empty message: two bytes on the wire, some forty times as many in memory.
    const requests = Buffer.alloc(2_000_000, Buffer.from([0x0a, 0x00]));
    const inField = (field: number, bytes: Buffer): Buffer => {
      const length = [bytes.length & 0x7f, (bytes.length >> 7) & 0x7f, bytes.length >> 14].map((part, i) =>
        i < 2 ? part | 0x80 : part,
      );
      return Buffer.concat([Buffer.from([(field << 3) | 2, ...length]), bytes]);
    };
    const cells = inField(8, requests.subarray(0, 1_000_000));
    const targets = Buffer.alloc(2_000_000, Buffer.from([0x1a, 0x00]));
    for (const [method, bytes] of [
      ['EmbedBatch', requests],
      ['ExtractFeaturesBatch', requests],
      ['ExtractFeatures', cells],
      ['ExtractFeaturesChunked', cells],
      ['MatchMany', targets],
    ] as const) {
      const { code, details } = await sendBytes(server.address, `/${serviceName}/${method}`, bytes);
      assert.equal(code, status.RESOURCE_EXHAUSTED, method);
      assert.match(details, /more than 131072 entries \(messageEntries/, method);
    }
    const few = await start(createFakeEngine({ manifest }), { messageEntries: 3 });
    const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
    const placed = { pixels: image, resize: { kind: 'fit', width: 64, height: 64 } } as const;
    const stream = few.client.embedStream([{ id: 'one', image: placed }]);
    await assert.rejects(
      async () => {
        for await (const _ of stream);
      },
      failsWith('RESOURCE_EXHAUSTED', /more than 3 entries/),
    );
    await few.stop();
    assert.equal((await client.embed(await photo('coffee.jpg'))).vector.length, 16);
    await stop();
  });

  test('a client with more calls than the limit of a connection gets all its answers', async () => {
    const { client, http, stop } = await start(createFakeEngine({ manifest, delayMs: 20 }), { callsPerConnection: 2 });
    const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
    await client.waitForReady();
    // The client receives the settings of the server with the first call.
    await client.embed(image);
    const answers = await Promise.all(Array.from({ length: 6 }, () => client.embed(image)));
    assert.equal(answers.length, 6);
    const { text } = await http('/metrics');
    const runs = Number(/^vicregl_batch_images_count (\d+)$/m.exec(text)?.[1]);
    assert.ok(runs >= 4, `${runs} runs: no more than 2 calls came in at a time`);
    await stop();
  });

  test("the error for an answer over a client's limit names the remedies, and a larger client limit works", async () => {
    const { server, stop } = await start(createFakeEngine({ manifest }));
    const image = { pixels: await photo('coffee.jpg'), resize: { kind: 'native' } } as const; // 50 * 75 * 16 * 4 bytes
    const narrow = createClient({ address: server.address, maxMessageBytes: 200_000 });
    await assert.rejects(
      narrow.features(image),
      failsWith(
        'RESOURCE_EXHAUSTED',
        /240000 bytes, over the limit of 195904.*float16.*max_response_bytes/,
        'TOO_LARGE',
      ),
    );
    assert.deepEqual((await narrow.features(image, { dtype: 'float16' })).shape, [50, 75, 16]);
    await narrow.close();
    await stop();
  });

  test('requests that wait at the same time run as one batch', async () => {
    const { engine, runs, nextRun, free } = createHeldEngine();
    const { client, http, until, stop } = await start(engine);
    const image = await photo('chelsea.png');
    const begun = nextRun();
    const first = client.embed(image);
    await begun;
    const rest = Array.from({ length: 4 }, () => client.embed(image));
    await until(/^vicregl_queue_images\{.*\} 4$/m);
    free();
    const answers = await Promise.all([first, ...rest]);
    for (const { vector } of answers) assert.deepEqual(vector, answers[0]!.vector);
    assert.deepEqual(runs, [1, 4]);
    const { text } = await http('/metrics');
    assert.match(text, /^vicregl_batch_images_sum 5$/m);
    assert.match(text, /^vicregl_batch_images_count 2$/m);
    await stop();
  });

  test('many waiting images of one call cause no leak warning of Node', async (t) => {
    const warnings: string[] = [];
    const note = ({ name }: Error) => void warnings.push(name);
    process.on('warning', note);
    t.after(() => process.off('warning', note));
    const { engine, free } = createHeldEngine();
    const { client, until, stop } = await start(engine, { batchImages: 2 });
    const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3) };
    const answers = client.embedBatch(Array.from({ length: 40 }, () => image));
    // One or two images run, depending on whether the second was decoded in time.
    await until(/^vicregl_queue_images\{.*\} 3[89]$/m);
    free();
    assert.ok((await answers).every(({ status }) => status === 'fulfilled'));
    await stop();
    assert.deepEqual(warnings, []);
  });

  test('a deadline that expires in the queue is DEADLINE_EXCEEDED, and the image does not run', async () => {
    const { engine, runs, nextRun, free } = createHeldEngine();
    const { client, until, stop } = await start(engine);
    const image = await photo('chelsea.png');
    const begun = nextRun();
    const first = client.embed(image);
    await begun;
    await assert.rejects(client.embed(image, { deadlineMs: 500 }), failsWith('DEADLINE_EXCEEDED', /./));
    await until(/^vicregl_requests_total\{method="Embed",code="DEADLINE_EXCEEDED"\} 1$/m);
    await until(/^vicregl_queue_images\{.*\} 0$/m);
    free();
    await first;
    await client.embed(image);
    assert.deepEqual(runs, [1, 1], 'the first, and the one behind the late one');
    await stop();
  });

  test('a full queue is RESOURCE_EXHAUSTED with the limit, and the service continues', async () => {
    const held = createHeldEngine();
    const service = await start(held.engine, { queueImages: 1 });
    const { client, stop } = service;
    const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
    const empty = await fillQueue(service, held, image);
    await assert.rejects(client.embed(image), (error: VicreglError) => {
      failsWith('RESOURCE_EXHAUSTED', /queue is full/, 'OVERLOADED')(error);
      assert.deepEqual(error.limit, { name: 'queueImages', value: 1 });
      return true;
    });
    const [item] = await client.embedBatch([image]);
    assert.ok(item?.status === 'rejected');
    assert.deepEqual(item.reason.limit, { name: 'queueImages', value: 1 });
    await empty();
    await stop();
  });

  test('a full queue rejects a call before its message arrives, and the call is counted and logged', async () => {
    const lines: string[] = [];
    const held = createHeldEngine();
    const service = await start(
      held.engine,
      { queueImages: 1 },
      pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
    );
    const { client, server, http, stop } = service;
    const image = { width: 64, height: 64, rgb: new Uint8Array(64 * 64 * 3) };
    const empty = await fillQueue(service, held, image);
    // The message of this call is never sent.
    const refused = await callWithoutMessage(server.address, `/${serviceName}/Embed`, { 'x-request-id': 'too-many' });
    assert.equal(refused['grpc-status'], String(status.RESOURCE_EXHAUSTED));
    assert.match(decodeURI(String(refused['grpc-message'])), /queue is full/);
    const { reason, limit } = decodeFacts(Buffer.from(String(refused['grpc-status-details-bin']), 'base64'))!;
    assert.deepEqual({ reason, limit }, { reason: 'OVERLOADED', limit: { name: 'queueImages', value: 1 } });
    assert.equal(refused['x-request-id'], 'too-many');
    assert.ok(Number(refused['vicregl-total-ms']) >= 0);
    const { text } = await http('/metrics');
    assert.match(text, /^vicregl_requests_total\{method="Embed",code="RESOURCE_EXHAUSTED"\} 1$/m);
    assert.match(text, /^vicregl_requests_rejected_total\{method="Embed",reason="OVERLOADED"\} 1$/m);
    assert.match(lines.find((line) => line.includes('too-many'))!, /"method":"Embed".*"reason":"OVERLOADED"/);
    // Calls that need no place in the queue are answered.
    assert.equal((await client.model()).name, manifest.name);
    await empty();
    assert.equal((await client.embed(image)).vector.length, 16);
    await stop();
  });

  test('with limited input sizes, other sizes are INVALID_ARGUMENT, and the server lists the allowed ones', async () => {
    const sizes = [{ width: 112, height: 64 }];
    const output = { ...defaultServeLimits.output, inputSizes: sizes };
    const { client, stop } = await start(createFakeEngine({ manifest }), { output });
    const own = { width: 56, height: 56 };
    assert.deepEqual((await client.serverInfo()).models[0]!.inputSizes, [own, ...sizes]);
    const coffee = await photo('coffee.jpg');
    assert.equal((await client.embed(coffee)).vector.length, 16);
    const { shape } = await client.features({ pixels: coffee, resize: { kind: 'fit', ...sizes[0]! } });
    assert.deepEqual(shape.slice(0, 2), [8, 14]);
    await assert.rejects(
      client.embed({ pixels: coffee, resize: { kind: 'native' } }),
      failsWith('INVALID_ARGUMENT', /image: network input of \d+x\d+ is not one of .* choose 56x56 or 112x64/),
    );
    await stop();
  });

  test('an unexpected error is INTERNAL, and the process continues', async () => {
    let runs = 0;
    const fake = createFakeEngine({ manifest });
    const run: Engine['run'] = (batch, wants) => {
      if (runs++ === 0) throw new TypeError('secret');
      return fake.run(batch, wants);
    };
    const { client, stop } = await start({ ...fake, run });
    const image = await photo('chelsea.png');
    await assert.rejects(client.embed(image), failsWith('INTERNAL', /^internal error; the log/));
    assert.equal((await client.embed(image)).vector.length, 16);
    await stop();
  });

  test('a shutdown reports NOT_SERVING, finishes running calls, and does not wait for a health watch', async () => {
    const { engine, nextRun, free } = createHeldEngine();
    const { server, client, http } = await start(engine);
    const watch = watchHealth(server.address);
    await watch.next();
    const begun = nextRun();
    const running = client.embed(await photo('chelsea.png'));
    await begun;
    const closed = server.close();
    assert.equal((await http('/readyz')).status, 503);
    free();
    assert.equal((await running).vector.length, 16);
    await closed;
    assert.deepEqual(watch.seen, ['SERVING', 'NOT_SERVING']);
    watch.end();
    await assert.rejects(client.embed(await photo('chelsea.png')), failsWith('UNAVAILABLE', /./));
    await client.close();
  });

  test('without a worker, health is NOT_SERVING, readiness fails and calls are UNAVAILABLE until a worker is ready', async () => {
    const engine = createFakeEngine({ manifest, workers: 2 });
    const { server, client, http, stop } = await start(engine);
    const watch = watchHealth(server.address);
    const image = await photo('chelsea.png');
    assert.equal((await client.embed(image)).vector.length, 16);
    engine.kill(1, 'the inference worker ended (signal SIGKILL)');
    assert.equal(await checkHealth(server.address), 'SERVING');
    assert.equal((await client.embed(image)).vector.length, 16);
    engine.kill(1, 'the inference worker ended (signal SIGSEGV)');
    for (const name of ['', 'vicregl.v1.VicreglService']) {
      assert.equal(await checkHealth(server.address, name), 'NOT_SERVING');
    }
    assert.equal((await http('/readyz')).status, 503);
    assert.equal((await http('/healthz')).status, 200);
    await assert.rejects(client.embed(image), failsWith('UNAVAILABLE', /SIGSEGV/));
    engine.revive();
    assert.equal(await checkHealth(server.address), 'SERVING');
    assert.equal((await client.embed(image)).vector.length, 16);
    assert.deepEqual(watch.seen, ['SERVING', 'NOT_SERVING', 'SERVING']);
    watch.end();
    await stop();
  });

  test('Match runs its two images in one batch of an idle engine', async () => {
    const { client, http, stop } = await start(createFakeEngine({ manifest }));
    await client.match(await photo('chelsea.png'), await photo('coffee.jpg'));
    const { text } = await http('/metrics');
    assert.match(text, /^vicregl_batch_images_sum 2$/m);
    assert.match(text, /^vicregl_batch_images_count 1$/m);
    await stop();
  });

  test('health and metrics answer during a large Match', async () => {
    const { server, client, http, stop } = await start(createFakeEngine({ manifest }));
    // 80 x 80 cells of 12 channels matched with themselves: 490 million products.
    const image = { pixels: await photo('coffee.jpg'), resize: { kind: 'fit', width: 640, height: 640 } } as const;
    let matched = false;
    const matching = client.match(image, image).finally(() => {
      matched = true;
    });
    let answers = 0;
    while (!matched) {
      assert.equal(await checkHealth(server.address), 'SERVING');
      assert.equal((await http('/metrics')).status, 200);
      if (!matched) answers++;
    }
    assert.equal((await matching).pairs.length, 20);
    assert.ok(answers >= 3, `${answers} answers`);
    await stop();
  });

  test('an address in use is reported as a clear error', async () => {
    const { server, stop } = await start(createFakeEngine({ manifest }));
    const again = {
      models: [{ engine: createFakeEngine({ manifest }) }],
      logger,
      address: '127.0.0.1:0',
      metricsAddress: '127.0.0.1:0',
    };
    await assert.rejects(
      createServer({ ...again, address: server.address }),
      /^Error: address: cannot listen on 127\.0\.0\.1:\d+/,
    );
    await assert.rejects(
      createServer({ ...again, metricsAddress: server.metricsAddress }),
      /^Error: metrics address: cannot listen on .*EADDRINUSE/,
    );
    await stop();
  });
});
