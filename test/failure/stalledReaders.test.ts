import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, type ClientHttp2Stream, connect, constants } from 'node:http2';
import { connect as connectTcp, type Socket } from 'node:net';
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

/** 784 x 784 cells of 16 channels: 39 MB, more than the sockets of both sides hold. */
const large = service.ExtractFeatures.requestSerialize({
  image,
  upsample: { size: { rows: 784, columns: 784 } },
  maxResponseBytes: 64 * 1024 * 1024,
});

type Method = keyof typeof requests;

async function startServer(t: TestContext, limits: Partial<ServeLimits>) {
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
    logger: pino({ level: 'silent' }),
    ...{ address: '127.0.0.1:0', httpAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    limits: { ...defaultServeLimits, ...limits },
  });
  t.after(() => server.close(true));
  return {
    address: server.address,
    httpAddress: server.httpAddress,
    async metric(name: string): Promise<number> {
      const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
      const line = text.split('\n').find((each) => each.startsWith(`${name} `));
      return Number(line?.split(' ')[1] ?? 0);
    },
  };
}

/** @param window bytes that the client receives without reading */
async function start(t: TestContext, limits: Partial<ServeLimits>, window: number) {
  const { address, metric } = await startServer(t, limits);
  const session = connect(`http://${address}`, { settings: { initialWindowSize: window } });
  // The server is closed first.
  session.on('error', () => {});
  t.after(() => session.close());
  return { session, metric };
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

describe('a large answer', () => {
  /** Asks for it, and reads up to its header. */
  async function ask(session: ClientHttp2Session): Promise<ClientHttp2Stream> {
    const stream = rawCall(session, `/${serviceName}/ExtractFeatures`, [large]);
    stream.end();
    await once(stream, 'response');
    return stream;
  }

  test('of which a client reads the beginning ends when nothing more is read for readSeconds, whatever its size', async (t) => {
    // All of it has 75 s.
    const { session, metric } = await start(t, { readSeconds: 2 }, 1_000_000);
    const stalled = await ask(session);
    await until(async () => (await metric('vicregl_held_response_bytes')) > 39e6);
    assert.equal(await resetOf(stalled), constants.NGHTTP2_ENHANCE_YOUR_CALM);
    await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
    const rejected = 'vicregl_requests_rejected_total{method="ExtractFeatures",reason="READER_STALLED"}';
    assert.equal(await metric(rejected), 1);
  });

  test('that is read slowly is received completely', async (t) => {
    const { session, metric } = await start(t, { readSeconds: 1 }, 1_000_000);
    const stream = await ask(session);
    let bytes = 0;
    let due = 1_000_000;
    stream.on('data', (data: Buffer) => {
      bytes += data.byteLength;
      if (bytes < due) return;
      due += 1_000_000;
      stream.pause();
      setTimeout(() => stream.resume(), 50);
    });
    const [trailers] = (await once(stream, 'trailers')) as [Record<string, unknown>];
    assert.equal(trailers['grpc-status'], '0');
    assert.ok(bytes > 39e6, `${bytes} bytes`);
    await until(async () => (await metric('vicregl_requests_total{method="ExtractFeatures",code="OK"}')) === 1);
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

describe('a client that stops reading over HTTP', () => {
  // 784 x 784 cells of 16 channels: 39 MB, more than the sockets of both sides hold.
  const body = JSON.stringify({
    image: { raw: { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3, 7).toString('base64') } },
    upsample: { size: { rows: 784, columns: 784 } },
  });
  const head = [
    ...['POST /v1/features HTTP/1.1', 'host: localhost', 'content-type: application/json'],
    ...['accept: application/octet-stream', `content-length: ${body.length}`],
  ];

  /** Sends the request, and reads up to the header of the answer. */
  async function send(httpAddress: string): Promise<Socket> {
    const [host, port] = httpAddress.split(':') as [string, string];
    const socket = connectTcp({ host, port: Number(port) });
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`);
    const [data] = (await once(socket, 'data')) as [Buffer];
    socket.pause();
    assert.match(data.toString('latin1'), /^HTTP\/1\.1 200 /);
    return socket;
  }

  const counted = 'vicregl_requests_total{method="ExtractFeatures"';
  const rejected = 'vicregl_requests_rejected_total{method="ExtractFeatures"';
  const unsent = 'vicregl_http_requests_total{route="/v1/features",status="499"}';

  test('its connection is closed, its resources are released, and other calls are answered', async (t) => {
    // All of the answer has 75 s.
    const { httpAddress, metric } = await startServer(t, { readSeconds: 2 });
    const socket = await send(httpAddress);
    t.after(() => socket.destroy());
    assert.ok((await metric('vicregl_held_response_bytes')) > 39e6);
    await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
    assert.equal(await metric('vicregl_held_request_bytes'), 0);
    assert.equal(await metric('vicregl_requests_in_flight{method="ExtractFeatures"}'), 0);
    assert.equal(await metric(`${rejected},reason="READER_STALLED"}`), 1);
    assert.equal(await metric(`${counted},code="RESOURCE_EXHAUSTED"}`), 1);
    assert.equal(await metric(unsent), 1);
    const next = await fetch(`http://${httpAddress}/v1/info`);
    assert.equal(next.status, 200);
  });

  test('a client that goes away in the middle of the response is counted as such', async (t) => {
    const { httpAddress, metric } = await startServer(t, {});
    const socket = await send(httpAddress);
    socket.destroy();
    await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
    assert.equal(await metric('vicregl_requests_in_flight{method="ExtractFeatures"}'), 0);
    assert.equal(await metric(`${counted},code="CANCELLED"}`), 1);
    assert.equal(await metric(unsent), 1);
  });

  test('a client that pipelines calls and goes away leaves nothing held, and its other calls are not begun', async (t) => {
    const { httpAddress, metric } = await startServer(t, {});
    const [host, port] = httpAddress.split(':') as [string, string];
    const socket = connectTcp({ host, port: Number(port) });
    socket.write(`${head.join('\r\n')}\r\n\r\n${body}`.repeat(4));
    await once(socket, 'data');
    socket.destroy();
    await until(async () => (await metric('vicregl_held_response_bytes')) === 0);
    assert.equal(await metric('vicregl_held_request_bytes'), 0);
    await until(async () => (await metric('vicregl_http_requests_in_flight')) === 0);
    assert.equal(await metric('vicregl_requests_in_flight{method="ExtractFeatures"}'), 0);
    assert.deepEqual([await metric(`${counted},code="CANCELLED"}`), await metric(unsent)], [1, 1]);
  });

  test('a client that pipelines calls and reads has all of them answered, in order, and counted as such', async (t) => {
    const { httpAddress, metric } = await startServer(t, {});
    const [host, port] = httpAddress.split(':') as [string, string];
    const socket = connectTcp({ host, port: Number(port) });
    let text = '';
    socket.on('data', (bytes: Buffer) => {
      text += bytes.toString('latin1');
    });
    const paths = ['/v1/info', '/healthz', '/v1/models', '/v1/info'];
    socket.write(paths.map((path) => `GET ${path} HTTP/1.1\r\nhost: localhost\r\n\r\n`).join(''));
    socket.write('garbage\r\n\r\n');
    await once(socket, 'close');
    const statuses = [...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, code]) => code);
    assert.deepEqual(statuses, ['200', '200', '200', '200', '400']);
    const bodies = text.split('\r\n\r\n').slice(1);
    const forms = [/^\{"serverVersion"/, /^ok\n/, /^\{"models"/, /^\{"serverVersion"/, /not HTTP\/1\.1"/];
    for (const [i, form] of forms.entries()) assert.match(bodies[i]!, form);
    assert.equal(await metric('vicregl_http_requests_total{route="/v1/info",status="200"}'), 2);
    assert.equal(await metric('vicregl_http_requests_total{route="/v1/models",status="200"}'), 1);
    assert.equal(await metric('vicregl_http_requests_total{route="unknown",status="400"}'), 1);
    assert.equal(await metric('vicregl_http_requests_in_flight'), 0);
  });

  test('a client that reads slowly receives the complete answer', async (t) => {
    const { httpAddress, metric } = await startServer(t, { readSeconds: 1 });
    const socket = await send(httpAddress);
    t.after(() => socket.destroy());
    let bytes = 0;
    socket.on('data', (data: Buffer) => {
      bytes += data.byteLength;
      socket.pause();
      setTimeout(() => socket.resume(), 1);
    });
    socket.resume();
    await until(() => bytes > 39e6);
    await until(async () => (await metric(`${counted},code="OK"}`)) === 1);
  });
});
