import assert from 'node:assert/strict';
import { readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:http2';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { createClient, VicreglError } from '../../src/client/index.js';
import { EngineError, type ImageBatch } from '../../src/engine/engine.js';
import type { FakeEngineOptions } from '../../src/engine/fakeEngine.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { createServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { rawCall } from '../support/rawCall.js';
import { withTinyModel } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';
import { vicregl } from '../support/vicregl.js';

/** Clients that send harmful images or disconnect. Other clients must not be affected. */

const pixels = (value: number) => ({ width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(value) });
const photo = await readFile(new URL('../../../test/fixtures/photos/chelsea.png', import.meta.url));

/** The service with a fake engine. With `held`, its runs wait until they are released. */
async function start(t: TestContext, options: Partial<FakeEngineOptions> & { readonly held?: boolean } = {}) {
  const { held = false, ...fakeOptions } = options;
  const { engine, runs, nextRun, release, free } = createHeldEngine(fakeOptions);
  if (!held) free();
  const server = await createServer({
    models: [{ engine }],
    address: '127.0.0.1:0',
    metricsAddress: '127.0.0.1:0',
    logger: pino({ level: 'silent' }),
  });
  const client = createClient({ address: server.address, deadlineMs: 20_000 });
  t.after(async () => {
    await client.close();
    await server.close();
  });
  await client.waitForReady();
  return {
    address: server.address,
    client,
    runs,
    nextRun,
    release,
    until: (line: RegExp) => untilMetric(server.metricsAddress, line),
  };
}

const code = (name: string) => (error: unknown) => error instanceof VicreglError && error.code === name;

describe('an image that causes a failure', () => {
  test('that cannot be decoded fails only its own call, also when others are in the same batch', async (t) => {
    const { client } = await start(t, { delayMs: 30 });
    const alone = (await client.embed(photo)).vector;
    const poisoned = photo.subarray(0, photo.length / 2);
    const results = await Promise.allSettled(
      Array.from({ length: 8 }, (_, i) => client.embed(i === 3 ? poisoned : photo)),
    );
    for (const [i, result] of results.entries()) {
      if (i === 3) assert.ok(result.status === 'rejected' && code('INVALID_ARGUMENT')(result.reason));
      else assert.deepEqual(result.status === 'fulfilled' && result.value.vector, alone);
    }
  });

  test('that makes the engine fail is INTERNAL, and the next images are answered', async (t) => {
    const POISON = 66;
    const failWith = (batch: ImageBatch) =>
      batch.data.includes(POISON) ? new EngineError('internal', 'inference failed: poison') : undefined;
    const { client } = await start(t, { failWith });
    await assert.rejects(client.embed(pixels(POISON)), code('INTERNAL'));
    assert.equal((await client.embed(pixels(1))).vector.length, 16);
  });
});

describe('a client that disconnects', () => {
  test('before inference: its image never runs', async (t) => {
    const { client, runs, nextRun, release, until } = await start(t, { held: true });
    const running = nextRun();
    const first = client.embed(pixels(1));
    await running;
    const abort = new AbortController();
    const second = client.embed(pixels(2), { signal: abort.signal });
    await until(/^vicregl_queue_images(\{.*\})? 1$/m);
    abort.abort();
    await assert.rejects(second, code('CANCELLED'));
    await until(/^vicregl_queue_images(\{.*\})? 0$/m);
    release();
    await first;
    const again = nextRun();
    const third = client.embed(pixels(3));
    await again;
    release();
    await third;
    assert.deepEqual(runs, [1, 1]);
  });

  test('during inference: the other images of the batch are answered, and no call stays in flight', async (t) => {
    const { client, runs, nextRun, release, until } = await start(t, { held: true });
    const blocking = nextRun();
    const blocker = client.embed(pixels(1));
    await blocking;
    const abort = new AbortController();
    const leaving = client.embed(pixels(2), { signal: abort.signal });
    const staying = client.embed(pixels(3));
    await until(/^vicregl_queue_images(\{.*\})? 2$/m);
    const batched = nextRun();
    release();
    await blocker;
    await batched;
    abort.abort();
    await assert.rejects(leaving, code('CANCELLED'));
    // The client knows immediately, but the service only when the end of the stream arrives.
    await until(/^vicregl_requests_total\{method="Embed",code="CANCELLED"\} 1$/m);
    release();
    assert.equal((await staying).vector.length, 16);
    assert.deepEqual(runs, [1, 2]);
    await until(/^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
  });

  test('after inference, before it has read the answer: its resources are released, and other calls are answered', async (t) => {
    const { address, client, nextRun, release, until } = await start(t, { held: true });
    // The client receives no more than this without reading.
    const session = connect(`http://${address}`, { settings: { initialWindowSize: 10 } });
    t.after(() => session.destroy());
    const running = nextRun();
    const { Embed } = loadVicreglService().service;
    const request = Embed.requestSerialize({
      image: { raw: { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3) } },
    });
    rawCall(session, Embed.path, [request]).end();
    await running;
    release();
    await until(/^vicregl_held_response_bytes [1-9]/m);
    session.destroy();
    await until(/^vicregl_held_response_bytes 0$/m);
    await until(/^vicregl_held_request_bytes 0$/m);
    await until(/^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
    const next = nextRun();
    const other = client.embed(pixels(2));
    await next;
    release();
    assert.equal((await other).vector.length, 16);
  });
});

describe('a model folder with a wrong checksum', () => {
  test('is not served: the error names the file, the actual and the expected checksum', async () => {
    const { folder, remove } = await withTinyModel();
    const path = join(folder.dir, 'backbone.onnx');
    const bytes = await readFile(path);
    bytes[bytes.length - 40]! ^= 1;
    await writeFile(path, bytes);
    const { code: exit, stderr } = await vicregl('serve', '--model', folder.dir, '--address', '127.0.0.1:0');
    assert.equal(exit, 1);
    assert.match(stderr, /backbone\.onnx has sha256 [0-9a-f]{64}, expected [0-9a-f]{64}/);
    await remove();
  });
});
