import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { describe, type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { loadVicreglService, serviceName } from '../../src/proto/load.js';
import { defaultServeLimits, type ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { rawCall } from '../support/rawCall.js';
import { tinyManifest } from '../support/tinyModel.js';
import { until } from '../support/until.js';

/** Clients that stop reading. They use HTTP/2 directly, because a gRPC client would read ahead. */

const { service } = loadVicreglService();
const image = { raw: { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3, 7) } };

const requests = {
  Embed: service.Embed.requestSerialize({ image }),
  EmbedStream: service.EmbedStream.requestSerialize({ id: 'a', request: { image } }),
  ExtractFeaturesStream: service.ExtractFeaturesStream.requestSerialize({ id: 'a', request: { image } }),
  ExtractFeaturesChunked: service.ExtractFeaturesChunked.requestSerialize({ image }),
};

type Method = keyof typeof requests;

/** @param window bytes that the client receives without reading */
async function start(t: TestContext, limits: Partial<ServeLimits>, window: number) {
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
    logger: pino({ level: 'silent' }),
    ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    limits: { ...defaultServeLimits, ...limits },
  });
  const session = connect(`http://${server.address}`, { settings: { initialWindowSize: window } });
  t.after(async () => {
    session.close();
    await server.close(true);
  });
  return {
    session,
    async metric(name: string): Promise<number> {
      const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
      const line = text.split('\n').find((each) => each.startsWith(`${name} `));
      return Number(line?.split(' ')[1] ?? 0);
    },
  };
}

/** Sends one message, or more if the method is a client stream. The answer is not read. */
function call(session: ClientHttp2Session, method: Method, messages = 1): ClientHttp2Stream {
  const stream = rawCall(session, `/${serviceName}/${method}`, new Array<Buffer>(messages).fill(requests[method]));
  if (!method.endsWith('Stream')) stream.end();
  return stream;
}

/** The code with which a stream is reset. */
async function resetOf(stream: ClientHttp2Stream): Promise<number> {
  // Node emits an error for all codes but two. Only the code matters here.
  stream.on('error', () => {});
  await new Promise((resolve) => stream.once('close', resolve));
  return stream.rstCode;
}

describe('a client that stops reading', () => {
  for (const method of Object.keys(requests) as Method[]) {
    test(`${method}: its stream is reset, its resources are released, and other calls are answered`, async (t) => {
      const { session, metric } = await start(t, { readSeconds: 1 }, 10);
      const stalled = call(session, method);
      const [headers] = (await once(stalled, 'response')) as [Record<string, unknown>];
      assert.equal(headers[':status'], 200);
      assert.ok((await metric('vicregl_held_response_bytes')) > 0);

      assert.equal(await resetOf(stalled), constants.NGHTTP2_ENHANCE_YOUR_CALM);
      await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
      assert.equal(await metric('vicregl_held_request_bytes'), 0);
      assert.equal(await metric(`vicregl_requests_in_flight{method="${method}"}`), 0);
      assert.equal(await metric(`vicregl_requests_rejected_total{method="${method}",reason="READER_STALLED"}`), 1);
      assert.equal(await metric(`vicregl_requests_total{method="${method}",code="RESOURCE_EXHAUSTED"}`), 1);

      const next = call(session, 'Embed');
      next.resume();
      const [trailers] = (await once(next, 'trailers')) as [Record<string, unknown>];
      assert.equal(trailers['grpc-status'], '0');
      assert.equal(await metric(`vicregl_requests_rejected_total{method="${method}",reason="READER_STALLED"}`), 1);
    });
  }

  test('in a stream of many items: none stays in memory unanswered, and no more are accepted', async (t) => {
    const { session, metric } = await start(t, { readSeconds: 1, streamItems: 4 }, 4000);
    // 7 x 7 cells of 16 channels: 3 kB per answer.
    const stalled = call(session, 'ExtractFeaturesStream', 50);
    assert.equal(await resetOf(stalled), constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
    assert.equal(await metric('vicregl_held_request_bytes'), 0);
    assert.equal(await metric('vicregl_requests_in_flight{method="ExtractFeaturesStream"}'), 0);
    const runs = await metric('vicregl_batch_images_sum');
    assert.ok(runs >= 2 && runs <= 8, `${runs} images were run`);
  });
});

test('a client that reads slowly receives the complete answer', async (t) => {
  const { session, metric } = await start(t, { readSeconds: 2 }, 4000);
  const stream = call(session, 'ExtractFeaturesStream', 12);
  stream.end();
  let bytes = 0;
  let pauses = 0;
  // Reading takes longer than readSeconds in total: one window is read every fifth of a second.
  stream.on('data', (data: Buffer) => {
    bytes += data.byteLength;
    pauses++;
    stream.pause();
    setTimeout(() => stream.resume(), 200);
  });
  const trailed = once(stream, 'trailers');
  await once(stream, 'end');
  const [trailers] = (await trailed) as [Record<string, unknown>];
  assert.equal(trailers['grpc-status'], '0');
  assert.ok(pauses > 10 && bytes > 12 * 3136, `${bytes} bytes, ${pauses} pauses of 200 ms`);
  assert.equal(await metric('vicregl_requests_total{method="ExtractFeaturesStream",code="OK"}'), 1);
});
