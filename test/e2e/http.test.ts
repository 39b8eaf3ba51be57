import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { request as httpRequest, type IncomingMessage } from 'node:http';
import { request as httpsRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text as readText } from 'node:stream/consumers';
import { after, before, describe, test } from 'node:test';
import { createConfig, lintFromString } from '@redocly/openapi-core';
import OpenAI, { APIError } from 'openai';
import { readZipDirectory, zipEntryStart } from '../../src/checkpoint/zipDirectory.js';
import { createClient } from '../../src/client/index.js';
import type { Engine } from '../../src/engine/engine.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { limitsOf } from '../../src/serve/config/limits.js';
import { resolveConfig } from '../../src/serve/config/resolve.js';
import { openSecurity } from '../../src/serve/operations/auth/security.js';
import { createToken, hashToken } from '../../src/serve/operations/auth/tokenStore.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type ServerOptions } from '../../src/serve/server.js';
import { createAuthority, writeIdentity } from '../support/certificates.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { memorySource } from '../support/memorySource.js';
import { tinyManifest } from '../support/tinyModel.js';
import { until } from '../support/until.js';
import { untilMetric } from '../support/untilMetric.js';

/** The HTTP listener over a real socket: it answers as gRPC does, by the same methods, within the same limits. */

const manifest = { ...tinyManifest, files: {} };
const MODEL = { name: 'tiny', version: '1' };
let photo: Buffer;
let other: Buffer;

type Config = Readonly<Record<string, unknown>>;

/** A service with both transports, its metrics and its log. */
async function start(
  content: Config = {},
  engine: Engine = createFakeEngine({ manifest }),
  extra: Partial<ServerOptions> = {},
) {
  const lines: string[] = [];
  const logger = createLogger('debug', { write: (line: string) => void lines.push(line) });
  const { config } = resolveConfig({ flags: {}, env: {}, file: { path: 'test', content } });
  const { tls, store, reload } = await openSecurity(config, logger);
  const server = await createServer({
    models: [{ engine }],
    address: '127.0.0.1:0',
    httpAddress: '127.0.0.1:0',
    httpCorsOrigins: config.httpCorsOrigins,
    metricsAddress: '127.0.0.1:0',
    logger,
    limits: limitsOf(config),
    tls,
    auth: store && { store, openHealth: true },
    ...extra,
  });
  const url = `${tls ? 'https' : 'http'}://${server.httpAddress}`;
  return {
    ...{ server, url, lines, reload },
    post: (path: string, body: NonNullable<RequestInit['body']>, headers: Record<string, string> = {}) =>
      fetch(url + path, { method: 'POST', body, headers }),
    json: (path: string, body: unknown, headers: Record<string, string> = {}) =>
      fetch(url + path, {
        method: 'POST',
        body: typeof body === 'string' ? body : JSON.stringify(body),
        headers: { 'content-type': 'application/json', ...headers },
      }),
    until: (line: RegExp) => untilMetric(server.metricsAddress, line),
    metrics: async () => (await fetch(`http://${server.metricsAddress}/metrics`)).text(),
  };
}

type Started = Awaited<ReturnType<typeof start>>;

interface ErrorBody {
  readonly code: number;
  readonly message: string;
  readonly details: readonly Record<string, unknown>[];
}

/** The HTTP status, the reason and the message of an error. */
async function refusal(response: Response): Promise<{ status: number; reason: unknown; message: string }> {
  const body = (await response.json()) as ErrorBody;
  assert.match(response.headers.get('content-type') ?? '', /^application\/json/);
  assert.equal(body.details[0]?.['@type'], 'type.googleapis.com/google.rpc.ErrorInfo');
  return { status: response.status, reason: body.details[0]?.['reason'], message: body.message };
}

const floats = (base64: string): number[] => {
  const bytes = Uint8Array.from(Buffer.from(base64, 'base64'));
  return [...new Float32Array(bytes.buffer)];
};

/** The numbers of a .npy file of float32, and its header. */
function readNpy(bytes: Uint8Array): { header: string; values: number[] } {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const start = 10 + view.getUint16(8, true);
  const header = Buffer.from(bytes.subarray(10, start)).toString();
  return { header, values: [...new Float32Array(Uint8Array.from(bytes.subarray(start)).buffer)] };
}

const asBody = (bytes: Uint8Array): ArrayBuffer => Uint8Array.from(bytes).buffer;
const encoded = (bytes: Buffer) => ({ encoded: bytes.toString('base64') });
const jpeg = { 'content-type': 'image/jpeg' };

before(async () => {
  const read = (name: string) => readFile(new URL(`../../../test/fixtures/photos/${name}`, import.meta.url));
  [photo, other] = await Promise.all([read('coffee.jpg'), read('astronaut.jpg')]);
});

describe('HTTP', () => {
  let served: Started;
  before(async () => {
    served = await start();
  });
  after(() => served.server.close());

  test('JSON, a form and a raw body give what gRPC gives', async () => {
    const client = createClient({ address: served.server.address });
    const expected = [...(await client.embed(photo, { l2Normalize: true })).vector];
    await client.close();
    const form = new FormData();
    form.set('image', new Blob([asBody(photo)]), 'coffee.jpg');
    form.set('l2Normalize', 'true');
    const withOptions = new FormData();
    withOptions.set('options', new Blob(['{"l2_normalize": true}'], { type: 'application/json' }));
    withOptions.set('image', new Blob([asBody(photo)], { type: 'image/jpeg' }));
    const answers = await Promise.all([
      served.json('/v1/embed', { image: encoded(photo), l2Normalize: true }),
      served.json('/v1/embed', {
        model: 'tiny@1',
        image: { encoded: photo.toString('base64url') },
        l2_normalize: true,
      }),
      served.post('/v1/embed?l2Normalize=true', asBody(photo), jpeg),
      served.post('/v1/embed?l2_normalize', asBody(photo), { 'content-type': 'application/octet-stream' }),
      served.post('/v1/embed', form),
      served.post('/v1/embed', withOptions),
    ]);
    for (const answer of answers) {
      assert.equal(answer.status, 200);
      assert.match(answer.headers.get('server-timing') ?? '', /decode;dur=[\d.]+, .*inference;dur=.*total;dur=[\d.]+$/);
      const { embedding, model } = (await answer.json()) as { embedding: Record<string, unknown>; model: unknown };
      assert.deepEqual(model, MODEL);
      assert.deepEqual(floats(String(embedding['data'])), expected);
      assert.deepEqual({ ...embedding, data: '' }, { dtype: 'DATA_TYPE_FLOAT32', shape: [16], data: '', scales: '' });
    }
  });

  test('models, one model and the server describe themselves', async () => {
    const get = async (path: string) => (await fetch(served.url + path)).json() as Promise<Record<string, unknown>>;
    assert.deepEqual(((await get('/v1/models'))['models'] as { model: unknown }[])[0]?.model, MODEL);
    for (const name of ['tiny', 'tiny@1', 'tiny%401'])
      assert.deepEqual((await get(`/v1/models/${name}`))['model'], MODEL);
    const info = await get('/v1/info');
    const limits = info['limits'] as { name: string; value: number }[];
    assert.equal(limits.find(({ name }) => name === 'http_deadline_seconds')?.value, 60);
    assert.deepEqual(await refusal(await fetch(`${served.url}/v1/models/nope`)), {
      ...{ status: 404, reason: 'UNKNOWN_MODEL' },
      message:
        'model: "nope" is not served here; use "tiny@1", a name without its version, or leave the field empty for tiny@1',
    });
  });

  test('a content-type without a body, and an empty accept, are as none', async () => {
    const headers = { 'content-type': 'application/json', accept: '' };
    for (const path of ['/v1/models', '/v1/models/tiny', '/v1/info']) {
      assert.equal((await fetch(served.url + path, { headers })).status, 200, path);
    }
    assert.equal((await refusal(await served.json('/v1/embed', ''))).status, 400);
  });

  test('no cache keeps an answer, and no browser guesses its type', async () => {
    const answers = await Promise.all([
      served.post('/v1/embed', asBody(photo), jpeg),
      served.json('/v1/embed', {}),
      fetch(`${served.url}/v1/info`),
      fetch(`${served.url}/nothing`),
    ]);
    assert.deepEqual(
      answers.map(({ status }) => status),
      [200, 400, 200, 404],
    );
    for (const { headers, url } of answers) {
      assert.equal(headers.get('cache-control'), 'no-store', url);
      assert.equal(headers.get('x-content-type-options'), 'nosniff', url);
    }
  });

  test('a query can ask for a message without fields', async () => {
    const answer = await served.post('/v1/features?image.native', asBody(photo), jpeg);
    const { grid } = (await answer.json()) as { grid: Record<string, unknown> };
    const asked = await served.json('/v1/features', { image: { ...encoded(photo), native: {} } });
    assert.deepEqual(grid, ((await asked.json()) as { grid: unknown }).grid);
    assert.notEqual(grid['columns'], 7);
  });

  test('a match of two files of a form is that of gRPC', async () => {
    const client = createClient({ address: served.server.address });
    const { pairs: expected } = await client.match(photo, other, { by: 'features', topGamma: 3 });
    await client.close();
    const form = new FormData();
    form.set('a', new Blob([asBody(photo)]), 'a.jpg');
    form.set('b.image', new Blob([asBody(other)]), 'b.jpg');
    form.set('byFeatures.topGamma', '3');
    const answer = (await (await served.post('/v1/match', form)).json()) as { pairs: Record<string, unknown>[] };
    assert.equal(answer.pairs.length, 3);
    for (const [i, { a, b, similarity }] of answer.pairs.entries()) {
      const pair = expected[i]!;
      assert.deepEqual([a, b], [pair.a, pair.b]);
      assert.equal(Math.fround(similarity as number), pair.similarity);
    }
  });

  test('maps are sent as NumPy files on request: one as .npy, several as .npz', async () => {
    const client = createClient({ address: served.server.address });
    const expected = await client.features(photo);
    await client.close();
    const npy = await served.post('/v1/features', asBody(photo), { ...jpeg, accept: 'application/octet-stream' });
    const { header, values } = readNpy(new Uint8Array(await npy.arrayBuffer()));
    assert.match(header, /'descr': '<f4', 'fortran_order': False, 'shape': \(7, 7, 16\)/);
    assert.deepEqual(values, [...expected.data]);
    const about = JSON.parse(npy.headers.get('vicregl-response')!) as { grid: Record<string, unknown>; model: unknown };
    assert.deepEqual(about.model, MODEL);
    assert.deepEqual([about.grid['rows'], about.grid['originalWidth']], [7, 600]);

    const asInt8 = `/v1/features?dtype=DATA_TYPE_INT8`;
    const refused = await refusal(await served.post(asInt8, asBody(photo), { ...jpeg, accept: 'application/x-npy' }));
    assert.deepEqual([refused.status, refused.reason], [406, 'NOT_ACCEPTABLE']);
    assert.match(refused.message, /2 arrays \(features, features_scales\).*application\/zip/);
    const zip = await served.post(asInt8, asBody(photo), { ...jpeg, accept: 'application/zip' });
    const bytes = new Uint8Array(await zip.arrayBuffer());
    const source = memorySource(bytes);
    const directory = await readZipDirectory(source);
    assert.deepEqual([...directory.keys()], ['features.npy', 'features_scales.npy', 'response.json']);
    const scales = directory.get('features_scales.npy')!;
    const at = await zipEntryStart(source, scales);
    const read = readNpy(bytes.subarray(at, at + scales.size));
    assert.match(read.header, /'shape': \(7, 7\)/);
    // The scale of a vector is its largest magnitude / 127.
    for (const [cell, scale] of read.values.entries()) {
      const vector = expected.data.slice(cell * 16, cell * 16 + 16) as Float32Array;
      assert.ok(Math.abs(scale - Math.max(...vector.map(Math.abs)) / 127) < 1e-6);
    }
    const none = await refusal(await served.json('/v1/match', {}, { accept: 'application/zip' }));
    assert.equal(none.status, 406);
  });

  test('a map that is too large for the clients of gRPC is sent over HTTP', async () => {
    const big = { width: 2048, height: 2048, rgb: Buffer.alloc(2048 * 2048 * 3).toString('base64') };
    const answer = await served.json(
      '/v1/features',
      { image: { raw: big, native: {} } },
      { accept: 'application/x-npy' },
    );
    assert.equal(
      answer.status,
      200,
      await answer
        .clone()
        .text()
        .then((text) => text.slice(0, 200)),
    );
    assert.ok((await answer.arrayBuffer()).byteLength > 4 * 1024 * 1024);
  });

  test('what is wrong is named, with the status of the usual table', async () => {
    const cases: [Promise<Response>, number, string, RegExp][] = [
      [served.json('/v1/embed', {}), 400, 'INVALID_ARGUMENT', /^image: /],
      [
        served.json('/v1/embed', { image: { encodes: '' } }),
        400,
        'INVALID_ARGUMENT',
        /^image\.encodes: .* did you mean encoded/,
      ],
      [served.json('/v1/embed', { image: encoded(Buffer.from('no')) }), 400, 'IMAGE_UNSUPPORTED_FORMAT', /^image: /],
      [
        served.json('/v1/embed', { image: encoded(photo), space: 'GLOBAL_SPACE_OTHER' }),
        400,
        'INVALID_ARGUMENT',
        /^space: /,
      ],
      [served.json('/v1/embed', '{"image": '), 400, 'INVALID_ARGUMENT', /the body is not JSON/],
      [served.json('/v1/embed', '[]'), 400, 'INVALID_ARGUMENT', /not an object/],
      [served.json('/v1/embed', ''), 400, 'INVALID_ARGUMENT', /empty/],
      [served.json('/v1/embed', '['.repeat(1000)), 400, 'INVALID_ARGUMENT', /nested more than 32/],
      [served.post('/v1/embed', 'x'), 415, 'UNSUPPORTED_MEDIA_TYPE', /text\/plain is not read here/],
      [served.post('/v1/match', asBody(photo), jpeg), 415, 'UNSUPPORTED_MEDIA_TYPE', /multipart\/form-data$/],
      [
        served.post('/v1/embed?image.crop.tap=1', asBody(photo), jpeg),
        400,
        'INVALID_ARGUMENT',
        /^image\.crop\.tap: Crop has no field tap/,
      ],
      [
        served.post('/v1/embed', asBody(photo), { ...jpeg, 'content-encoding': 'gzip' }),
        415,
        'UNSUPPORTED_ENCODING',
        /uncompressed/,
      ],
      [
        served.post('/v1/embed', 'x', { 'content-type': 'multipart/form-data' }),
        400,
        'INVALID_ARGUMENT',
        /multipart form/,
      ],
      [
        served.post('/v1/embed', '--b\r\n', { 'content-type': 'multipart/form-data; boundary=b' }),
        400,
        'INVALID_ARGUMENT',
        /multipart form/,
      ],
      [
        served.post('/v1/embed', asBody(photo), { ...jpeg, accept: 'text/html' }),
        406,
        'NOT_ACCEPTABLE',
        /application\/json/,
      ],
      [
        served.post('/v1/embed', asBody(photo), { ...jpeg, 'x-request-timeout-ms': '-1' }),
        400,
        'INVALID_ARGUMENT',
        /^x-request-timeout-ms: "-1"/,
      ],
      [fetch(`${served.url}/v1/embed`), 405, 'WRONG_METHOD', /use POST/],
      [served.json('/v1/models/tiny', {}), 405, 'WRONG_METHOD', /use GET/],
      ...['/healthz', '/readyz', '/metrics', '/openapi.json'].map(
        (path): [Promise<Response>, number, string, RegExp] => [
          ...([served.json(path, {}), 405, 'WRONG_METHOD', /does not have POST; use GET/] as const),
        ],
      ),
      [served.json('/openapi_json', {}), 404, 'UNKNOWN_ROUTE', /openapi\.json/],
      [fetch(`${served.url}/v2`), 404, 'UNKNOWN_ROUTE', /openapi\.json/],
      [fetch(`${served.url}/v1/%ff`), 400, 'INVALID_ARGUMENT', /cannot be read/],
      [
        served.json('/v1/match', { a: { featureRef: 'x' }, b: { image: encoded(photo) } }),
        404,
        'FEATURES_EXPIRED',
        /feature_ref/,
      ],
    ];
    for (const [answer, status, reason, message] of cases) {
      const found = await refusal(await answer);
      assert.deepEqual([found.status, found.reason], [status, reason], found.message);
      assert.match(found.message, message);
    }
    const many = new FormData();
    for (let i = 0; i < 100; i++) many.append('model', 'x');
    assert.equal((await refusal(await served.post('/v1/embed', many))).reason, 'TOO_LARGE');
  });

  test('a request id is returned and logged, and so is the method; no header of it can forge a line', async () => {
    const answer = await served.post('/v1/embed', asBody(photo), { ...jpeg, 'x-request-id': 'trace-1' });
    assert.equal(answer.headers.get('x-request-id'), 'trace-1');
    await until(() => served.lines.some((line) => line.includes('"trace-1"')));
    const line = JSON.parse(served.lines.find((each) => each.includes('"trace-1"'))!) as Record<string, unknown>;
    assert.deepEqual([line['method'], line['protocol'], line['code']], ['Embed', 'http', 'OK']);
    const strange = await fetch(`${served.url}/v1/models`, { headers: { 'x-request-id': 'a b' } });
    assert.match(strange.headers.get('x-request-id') ?? '', /^[0-9a-f-]{36}$/);
  });

  test('batches answer each image', async () => {
    const requests = [{ image: encoded(photo) }, { image: encoded(Buffer.from('no')) }];
    const { results } = (await (await served.json('/v1/embed-batch', { requests })).json()) as {
      results: Record<string, Record<string, unknown>>[];
    };
    assert.deepEqual(Object.keys(results[0]!), ['response']);
    assert.equal(results[1]!['status']!['code'], 3);
    assert.equal((results[1]!['status']!['details'] as { reason: string }[])[0]!.reason, 'IMAGE_UNSUPPORTED_FORMAT');
  });

  test('requests are counted by method with those of gRPC, and by route and HTTP status', async () => {
    const fresh = await start();
    const embedded = await fresh.post('/v1/embed', asBody(photo), jpeg);
    const sent = (await embedded.arrayBuffer()).byteLength;
    const broken = '{"image": ';
    await fresh.json('/v1/embed', broken);
    await fetch(`${fresh.url}/healthz`);
    await fetch(`${fresh.url}/nothing`);
    const lines = [
      'vicregl_requests_total{method="Embed",code="OK"} 1',
      'vicregl_requests_total{method="Embed",code="INVALID_ARGUMENT"} 1',
      'vicregl_requests_rejected_total{method="unknown",reason="UNKNOWN_ROUTE"} 1',
      'vicregl_http_requests_total{route="/v1/embed",status="200"} 1',
      'vicregl_http_requests_total{route="/v1/embed",status="400"} 1',
      'vicregl_http_requests_total{route="/healthz",status="200"} 1',
      'vicregl_http_requests_total{route="unknown",status="404"} 1',
      'vicregl_http_requests_in_flight 0',
      `vicregl_received_bytes_total{method="Embed"} ${photo.byteLength + broken.length}`,
      `vicregl_sent_bytes_total{method="Embed"} ${sent}`,
      // Of which none are held any longer.
      'vicregl_held_request_bytes 0',
      'vicregl_held_response_bytes 0',
    ];
    for (const line of lines) await fresh.until(new RegExp(`^${line.replace(/[{}/]/g, '\\$&')}$`, 'm'));
    await fresh.server.close();
  });

  test('the description is valid OpenAPI 3.1 without warnings, and has every route', async () => {
    const source = await (await fetch(`${served.url}/openapi.json`)).text();
    const config = await createConfig({ extends: ['recommended-strict'] });
    assert.deepEqual(await lintFromString({ source, config }), []);
    // The linter finds what is wrong.
    const broken = source.replace('"operationId":"Embed"', '"operationId":"Match"');
    assert.notDeepEqual(await lintFromString({ source: broken, config }), []);
    const { paths, components } = JSON.parse(source) as {
      paths: Record<string, { post?: { requestBody: { content: object } } }>;
      components: { schemas: Record<string, { properties: Record<string, { description?: string }> }> };
    };
    assert.deepEqual(Object.keys(paths).sort(), [
      ...[
        '/healthz',
        '/metrics',
        '/readyz',
        '/v1/embed',
        '/v1/embed-batch',
        '/v1/embeddings',
        '/v1/features',
        '/v1/features-batch',
      ],
      ...['/v1/info', '/v1/match', '/v1/match-many', '/v1/models', '/v1/models/{model}', '/v1/stored-features'],
    ]);
    assert.deepEqual(
      ['/v1/embed', '/v1/match'].map((path) => Object.keys(paths[path]!.post!.requestBody.content)),
      [
        ['application/json', 'multipart/form-data', 'image/*', 'application/octet-stream'],
        ['application/json', 'multipart/form-data'],
      ],
    );
    assert.match(components.schemas['EmbedRequest']!.properties['l2Normalize']!.description!, /^Scales the vector/);
  });
});

describe('HTTP under limits', () => {
  test('a body over the limit is refused before it is read, and one without a length as soon as it is exceeded', async () => {
    const { server, post, url } = await start({ maxMessageBytes: 2048 });
    const large = await refusal(await post('/v1/embed', 'x'.repeat(4096), jpeg));
    assert.deepEqual([large.status, large.reason], [413, 'TOO_LARGE']);
    assert.match(large.message, /4096 bytes, over the limit of 2048 \(maxMessageBytes\)/);
    // The body does not end.
    const endless = httpRequest(`${url}/v1/embed`, { method: 'POST', headers: jpeg });
    endless.on('error', () => {});
    endless.write('x'.repeat(4096));
    const [answer] = (await once(endless, 'response')) as [IncomingMessage];
    assert.equal(answer.statusCode, 413);
    assert.match(await readText(answer), /more than 2048 bytes/);
    endless.destroy();
    await server.close();
  });

  test('headers over the limit are refused', async () => {
    const { server, url } = await start({ metadataBytes: 2048 });
    const answer = await fetch(`${url}/v1/models`, { headers: { 'x-large': 'x'.repeat(4096) } });
    assert.equal(answer.status, 431);
    assert.match(await answer.text(), /metadataBytes/);
    await server.close();
  });

  test('while the queue is full, requests are refused without their body being read, and with retry-after', async () => {
    const held = createHeldEngine();
    const { server, post, until: untilLine, url } = await start({ queueImages: 2, decodeConcurrency: 1 }, held.engine);
    const begun = held.nextRun();
    const first = post('/v1/embed', asBody(photo), jpeg);
    await begun;
    const waiting = [post('/v1/embed', asBody(photo), jpeg), post('/v1/embed', asBody(photo), jpeg)];
    await untilLine(/^vicregl_queue_images\{.*\} 2$/m);
    const refused = httpRequest(`${url}/v1/embed`, {
      method: 'POST',
      headers: { ...jpeg, 'content-length': 5_000_000 },
    });
    refused.on('error', () => {});
    // Only the header is sent.
    refused.flushHeaders();
    const [answer] = (await once(refused, 'response')) as [IncomingMessage];
    assert.equal(answer.statusCode, 429);
    assert.ok(Number(answer.headers['retry-after']) >= 1);
    assert.equal(answer.headers.connection, 'close');
    const { details } = JSON.parse(await readText(answer)) as ErrorBody;
    assert.deepEqual(
      details.map((detail) => detail['@type']),
      ['type.googleapis.com/google.rpc.ErrorInfo', 'type.googleapis.com/google.rpc.RetryInfo'],
    );
    refused.destroy();
    held.free();
    assert.deepEqual(
      (await Promise.all([first, ...waiting])).map(({ status }) => status),
      [200, 200, 200],
    );
    await server.close();
  });

  test('headers that announce bodies take nothing of the budget of requests', async () => {
    const { server, url, post, until: untilLine } = await start();
    const { hostname, port } = new URL(url);
    const head =
      'POST /v1/embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ncontent-length: 68157440\r\n\r\n';
    const sockets = Array.from({ length: 8 }, () => connect(Number(port), hostname));
    for (const socket of sockets) socket.write(head);
    await untilLine(/^vicregl_http_requests_in_flight 8$/m);
    await untilLine(/^vicregl_held_request_bytes 0$/m);
    assert.equal((await post('/v1/embed', asBody(photo), jpeg)).status, 200);
    for (const socket of sockets) socket.destroy();
    await untilLine(/^vicregl_http_requests_in_flight 0$/m);
    await server.close();
  });

  test('a caller that goes away leaves the queue, and one whose deadline passes is answered', async () => {
    const held = createHeldEngine();
    const { server, post, until: untilLine } = await start({ httpDeadlineSeconds: 1 }, held.engine);
    const begun = held.nextRun();
    const gone = new AbortController();
    const first = post('/v1/embed', asBody(photo), jpeg);
    await begun;
    const second = fetch(`http://${server.httpAddress}/v1/embed`, {
      ...{ method: 'POST', body: asBody(photo), headers: jpeg, signal: gone.signal },
    });
    await untilLine(/^vicregl_queue_images\{.*\} 1$/m);
    gone.abort();
    await assert.rejects(second);
    await untilLine(/^vicregl_queue_images\{.*\} 0$/m);
    await untilLine(/^vicregl_requests_total\{method="Embed",code="CANCELLED"\} 1$/m);
    await untilLine(/^vicregl_http_requests_total\{route="\/v1\/embed",status="499"\} 1$/m);
    const late = await refusal(await post('/v1/embed', asBody(photo), { ...jpeg, 'x-request-timeout-ms': '100' }));
    assert.deepEqual([late.status, late.reason], [504, 'DEADLINE_EXCEEDED']);
    assert.match(late.message, /in 100 ms \(x-request-timeout-ms\)/);
    const own = await refusal(await first);
    assert.deepEqual([own.status, own.reason], [504, 'DEADLINE_EXCEEDED']);
    assert.match(own.message, /in 1 s \(httpDeadlineSeconds\)/);
    held.free();
    await untilLine(/^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
    await server.close();
  });

  test('a body that does not arrive in time is refused, and a caller that stops in the middle is counted', async () => {
    const { server, url, until: untilLine } = await start({ receiveSeconds: 1 });
    const slow = httpRequest(`${url}/v1/embed`, { method: 'POST', headers: { ...jpeg, 'content-length': 100 } });
    slow.on('error', () => {});
    slow.write('x');
    const [answer] = (await once(slow, 'response')) as [IncomingMessage];
    assert.equal(answer.statusCode, 408);
    assert.match(await readText(answer), /receiveSeconds/);
    slow.destroy();
    const cut = httpRequest(`${url}/v1/embed`, { method: 'POST', headers: { ...jpeg, 'content-length': 100 } });
    cut.on('error', () => {});
    cut.write('x');
    await untilLine(/^vicregl_http_requests_in_flight 1$/m);
    cut.destroy();
    await untilLine(/^vicregl_requests_total\{method="Embed",code="CANCELLED"\} 1$/m);
    await untilLine(/^vicregl_held_request_bytes 0$/m);
    await untilLine(/^vicregl_http_requests_in_flight 0$/m);
    const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    assert.match(text, /^vicregl_http_requests_total\{route="\/v1\/embed",status="499"\} 1$/m);
    assert.doesNotMatch(text, /route="unknown"/);
    await server.close();
  });

  test('a request whose body cannot be read is counted once, as what it was answered', async () => {
    const { server, url, until: untilLine } = await start();
    const { hostname, port } = new URL(url);
    const send = async (...parts: readonly string[]): Promise<string> => {
      const socket = connect(Number(port), hostname);
      for (const part of parts) {
        socket.write(part);
        await untilLine(/^vicregl_http_requests_in_flight 1$/m);
      }
      socket.write('zz\r\nhello\r\n');
      return readText(socket);
    };
    const head =
      'POST /v1/embed HTTP/1.1\r\nhost: localhost\r\ncontent-type: image/jpeg\r\ntransfer-encoding: chunked\r\n\r\n';
    // In a packet of its own, and with the header.
    assert.match(await send(`${head}5\r\nabcde\r\n`), /^HTTP\/1\.1 400 [\s\S]*not HTTP\/1\.1/);
    assert.match(await send(), /^HTTP\/1\.1 400 /);
    const socket = connect(Number(port), hostname);
    socket.write(`${head}zz\r\nhello\r\n`);
    assert.match(await readText(socket), /^HTTP\/1\.1 400 /);
    await untilLine(/^vicregl_http_requests_in_flight 0$/m);
    const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    const counted = (name: string): string[] =>
      text.split('\n').filter((line) => line.startsWith(`${name}{`) && !line.endsWith(' 0'));
    assert.deepEqual(counted('vicregl_http_requests_total'), [
      'vicregl_http_requests_total{route="/v1/embed",status="400"} 2',
      'vicregl_http_requests_total{route="unknown",status="400"} 1',
    ]);
    assert.deepEqual(counted('vicregl_requests_total'), [
      'vicregl_requests_total{method="Embed",code="INVALID_ARGUMENT"} 2',
    ]);
    assert.deepEqual(counted('vicregl_requests_rejected_total'), [
      'vicregl_requests_rejected_total{method="Embed",reason="INVALID_ARGUMENT"} 2',
    ]);
    await server.close();
  });

  test('at a shutdown a running request is answered, new ones are not accepted, and the connection is closed', async () => {
    const held = createHeldEngine();
    const { server, url, post } = await start({}, held.engine, { shutdown: { delayMs: 0, graceMs: 60_000 } });
    const begun = held.nextRun();
    const running = post('/v1/embed', asBody(photo), jpeg);
    await begun;
    const closed = server.close();
    await until(async () => (await fetch(`${url}/readyz`).catch(() => undefined)) === undefined);
    held.free();
    const answer = await running;
    assert.deepEqual([answer.status, answer.headers.get('connection')], [200, 'close']);
    await closed;
  });

  test('an address that is in use is named', async () => {
    const first = await start();
    await assert.rejects(
      start({}, undefined, { httpAddress: first.server.httpAddress }),
      new RegExp(`^Error: httpAddress: cannot listen on ${first.server.httpAddress}: .*EADDRINUSE`),
    );
    await first.server.close();
  });
});

describe('HTTP access', () => {
  const token = createToken();
  const tokens = [{ name: 'web', sha256: hashToken(token).toString('hex'), requestsPerSecond: 0.001, burst: 2 }];
  const bearer = { authorization: `Bearer ${token}` };

  test('calls need a token and keep to its rate; health, the description and the page do not', async () => {
    const { server, url, lines } = await start({ tokens });
    const ask = async (headers: Record<string, string> = {}) => fetch(`${url}/v1/models`, { headers });
    const missing = await ask();
    assert.equal(missing.headers.get('www-authenticate'), 'Bearer');
    assert.deepEqual((await refusal(missing)).reason, 'UNAUTHENTICATED');
    assert.equal((await refusal(await ask({ authorization: 'Bearer vrg_wrong' }))).status, 401);
    assert.equal((await refusal(await fetch(`${url}/nothing`))).status, 401);
    for (const path of ['/healthz', '/readyz', '/openapi.json']) assert.equal((await fetch(url + path)).status, 200);
    assert.equal((await ask(bearer)).status, 200);
    assert.equal((await ask(bearer)).status, 200);
    const third = await ask(bearer);
    assert.equal(third.status, 429);
    assert.ok(Number(third.headers.get('retry-after')) > 1);
    await server.close();
    assert.ok(lines.some((line) => line.includes('"caller":"web"')));
    assert.ok(lines.every((line) => !line.includes(token)));
  });

  test('pages of other origins cannot call, by a form or by a name that leads to this machine', async () => {
    const { server, url, post } = await start();
    for (const origin of ['https://evil.example', `${url}1`, `${url}.evil.example`]) {
      const foreign = await refusal(await post('/v1/embed', asBody(photo), { ...jpeg, origin }));
      assert.deepEqual([foreign.status, foreign.reason], [403, 'FORBIDDEN_ORIGIN'], origin);
    }
    assert.equal((await post('/v1/embed', asBody(photo), { ...jpeg, origin: url })).status, 200);
    const preflight = await fetch(`${url}/v1/embed`, {
      method: 'OPTIONS',
      headers: { origin: 'https://evil.example', 'access-control-request-method': 'POST' },
    });
    assert.equal(preflight.headers.get('access-control-allow-origin'), null);
    // fetch() does not let a caller set this header.
    const [host, port] = server.httpAddress.split(':') as [string, string];
    const socket = connect(Number(port), host);
    socket.end('GET /v1/models HTTP/1.1\r\nhost: rebound.example\r\nconnection: close\r\n\r\n');
    assert.match(await readText(socket), /^HTTP\/1\.1 403 [\s\S]*"rebound\.example\\?" is not this machine/);
    await server.close();
  });

  test('pages of configured origins can', async () => {
    const origin = 'https://app.example';
    const { server, url, post } = await start({ httpCorsOrigins: [origin] });
    const preflight = await fetch(`${url}/v1/embed`, {
      method: 'OPTIONS',
      headers: { origin, 'access-control-request-method': 'POST', 'access-control-request-headers': 'content-type' },
    });
    assert.equal(preflight.status, 204);
    assert.equal(preflight.headers.get('access-control-allow-origin'), origin);
    const listed = (response: Response, name: string) => response.headers.get(name)?.split(', ').sort();
    assert.deepEqual(listed(preflight, 'access-control-allow-methods'), ['GET', 'POST']);
    assert.deepEqual(listed(preflight, 'access-control-allow-headers'), [
      ...['accept', 'authorization', 'content-type', 'x-request-id', 'x-request-timeout-ms'],
    ]);
    const answer = await post('/v1/embed', asBody(photo), { ...jpeg, origin });
    assert.deepEqual([answer.status, answer.headers.get('access-control-allow-origin')], [200, origin]);
    assert.deepEqual(listed(answer, 'access-control-expose-headers'), [
      ...['retry-after', 'server-timing', 'vicregl-response', 'x-request-id'],
    ]);
    assert.equal((await post('/v1/embed', asBody(photo), { ...jpeg, origin: 'https://evil.example' })).status, 403);
    await server.close();
  });

  test('with TLS the certificates of gRPC are used, also after a reload; clients need one where gRPC asks for one', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-http-'));
    t.after(() => rm(folder, { recursive: true }));
    const authority = createAuthority('vicregl http');
    const files = await writeIdentity(folder, 'server', authority.sign('server'));
    const ca = join(folder, 'ca.pem');
    await writeFile(ca, authority.cert);
    const { server, reload } = await start({ tlsCert: files.cert, tlsKey: files.key, tlsClientCa: ca });
    const identity = authority.sign('client');
    const ask = (options: object) => get(`https://${server.httpAddress}/v1/models`, { ca: authority.cert, ...options });
    const first = await ask(identity);
    assert.equal(first.status, 200);
    await assert.rejects(ask({}));
    await writeIdentity(folder, 'server', authority.sign('server'));
    await reload();
    const second = await ask(identity);
    assert.equal(second.status, 200);
    assert.notEqual(second.serial, first.serial);
    const another = createAuthority('another');
    await writeFile(ca, another.cert);
    await reload();
    assert.equal((await ask(another.sign('client'))).status, 200);
    await assert.rejects(ask(identity));
    await server.close();
  });
});

/** A request over TLS on a connection of its own. */
async function get(url: string, options: object): Promise<{ status: number | undefined; serial: string }> {
  const request = httpsRequest(url, { agent: false, ...options });
  request.end();
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  const { serialNumber } = (answer.socket as import('node:tls').TLSSocket).getPeerCertificate();
  answer.resume();
  return { status: answer.statusCode, serial: serialNumber };
}

describe("OpenAI's client", () => {
  let served: Started;
  let openai: OpenAI;
  before(async () => {
    served = await start();
    openai = new OpenAI({ baseURL: `${served.url}/v1`, apiKey: 'unused', maxRetries: 0 });
  });
  after(() => served.server.close());

  const uri = (bytes: Buffer) => `data:image/jpeg;base64,${bytes.toString('base64')}`;
  // Its types know text alone.
  const input = (value: unknown) => value as string;

  test('gets the vectors of gRPC, in both encodings, for one input and several', async () => {
    const client = createClient({ address: served.server.address });
    const expected = await Promise.all(
      [photo, other].map(async (image) => [...(await client.embed(image, { l2Normalize: true })).vector]),
    );
    await client.close();
    const forms: unknown[] = [
      [uri(photo), uri(other)],
      [
        { type: 'image_url', image_url: { url: uri(photo) } },
        { type: 'input_image', image_url: uri(other) },
      ],
    ];
    for (const form of forms) {
      for (const encoding of [undefined, 'float', 'base64'] as const) {
        const answer = await openai.embeddings.create({
          model: 'tiny',
          input: input(form),
          ...(encoding && { encoding_format: encoding }),
        });
        assert.deepEqual(
          [answer.object, answer.model, answer.usage],
          ['list', 'tiny@1', { prompt_tokens: 2, total_tokens: 2 }],
        );
        for (const [i, { embedding, index }] of answer.data.entries()) {
          assert.equal(index, i);
          const values = typeof embedding === 'string' ? floats(embedding) : embedding;
          assert.deepEqual(values.map(Math.fround), expected[i]);
        }
      }
    }
    const one = await openai.embeddings.create({ model: 'tiny@1', input: uri(photo), dimensions: 16 });
    assert.deepEqual(one.data[0]!.embedding.map(Math.fround), expected[0]);
  });

  test("gets errors in OpenAI's form, with the place in the input", async () => {
    const cases: [object, number, string, string | null, RegExp][] = [
      [{ model: 'nope', input: uri(photo) }, 404, 'model_not_found', 'model', /is not served here/],
      [{ input: uri(photo) }, 400, 'invalid_argument', 'model', /GET \/v1\/models/],
      [
        { model: 'tiny', input: [uri(photo), uri(Buffer.from('no'))] },
        400,
        'image_unsupported_format',
        'input[1]',
        /unknown format/,
      ],
      [
        { model: 'tiny', input: 'https://example.com/a.jpg' },
        400,
        'invalid_argument',
        'input',
        /is a URL, and the service fetches nothing/,
      ],
      [
        { model: 'tiny', input: [{ image_url: { url: 'file:///etc/passwd' } }] },
        400,
        'invalid_argument',
        'input[0].image_url.url',
        /is a URL/,
      ],
      [{ model: 'tiny', input: 'a cat' }, 400, 'invalid_argument', 'input', /is text, and the model embeds images/],
      [{ model: 'tiny', input: [1, 2] }, 400, 'invalid_argument', 'input[0]', /neither a data URI/],
      [{ model: 'tiny', input: [] }, 400, 'invalid_argument', 'input', /at least one/],
      [{ model: 'tiny', input: 'data:image/png,abc' }, 400, 'invalid_argument', 'input', /not in base64/],
      [{ model: 'tiny', input: 'data:image/png;base64,a*b' }, 400, 'invalid_argument', 'input', /not base64/],
      [{ model: 'tiny', input: uri(photo), dimensions: 3 }, 400, 'invalid_argument', 'dimensions', /have 16/],
      [
        { model: 'tiny', input: uri(photo), encoding_format: 'hex' },
        400,
        'invalid_argument',
        'encoding_format',
        /neither float nor base64/,
      ],
      [{ model: 'tiny', input: uri(photo), dimension: 3 }, 400, 'invalid_argument', 'dimension', /no such field/],
      [{ model: 'tiny', input: uri(photo), space: 'X' }, 400, 'invalid_argument', 'space', /none of GLOBAL_SPACE/],
      [
        { model: 'tiny', input: Array(65).fill(uri(photo)) },
        400,
        'invalid_argument',
        'input',
        /over the limit of 64 \(batchRequests\)/,
      ],
    ];
    for (const [body, status, code, param, message] of cases) {
      const failed = await openai.embeddings.create(body as OpenAI.EmbeddingCreateParams).then(
        () => assert.fail(JSON.stringify(body).slice(0, 100)),
        (error: unknown) => error,
      );
      assert.ok(failed instanceof APIError, String(failed));
      assert.deepEqual([failed.status, failed.code, failed.param], [status, code, param], failed.message);
      assert.match(failed.message, message);
    }
    const queried = await served.json('/v1/embeddings?dimensions=3', { model: 'tiny', input: uri(photo) });
    const { error } = (await queried.json()) as { error: { param: string; message: string } };
    assert.deepEqual([queried.status, error.param], [400, 'dimensions']);
    assert.match(error.message, /reads no query; send the field in the body/);
  });

  test("gets errors in OpenAI's form for another verb and for a path below it, which have no route", async () => {
    for (const [method, path, status, code] of [
      ['GET', '/v1/embeddings', 405, 'wrong_method'],
      ['GET', '/v1/embeddings?model=tiny', 405, 'wrong_method'],
      ['POST', '/v1/embeddings/', 404, 'unknown_route'],
    ] as const) {
      const answer = await fetch(`${served.url}${path}`, { method });
      const { error } = (await answer.json()) as { error: { type: string; code: string } };
      assert.deepEqual([answer.status, error.type, error.code], [status, 'invalid_request_error', code], path);
    }
    const other = await fetch(`${served.url}/v1/embeddingsx`, { method: 'POST' });
    assert.equal(((await other.json()) as { code: number }).code, 5);
  });
});

describe('the page', () => {
  let folder: string;
  let served: Started;
  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'vicregl-page-'));
    await mkdir(join(folder, 'web', 'assets'), { recursive: true });
    await writeFile(join(folder, 'secret.txt'), 'secret');
    await writeFile(join(folder, 'web', 'index.html'), '<!doctype html><title>page</title>');
    await writeFile(join(folder, 'web', 'assets', 'index-BqT0lN3x.js'), 'export {};');
    await writeFile(join(folder, 'web', '.hidden'), 'hidden');
    served = await start({}, undefined, { page: join(folder, 'web') });
  });
  after(async () => {
    await served.server.close();
    await rm(folder, { recursive: true });
  });

  test('is served with a policy that allows its own origin alone; hashed assets are cached', async () => {
    const page = await fetch(`${served.url}/`);
    assert.equal(page.status, 200);
    assert.match(await page.text(), /<title>page/);
    const policy = page.headers.get('content-security-policy') ?? '';
    // default-src does not stand for the last three.
    assert.deepEqual(policy.split('; '), [
      "default-src 'none'",
      ...["script-src 'self'", "style-src 'self'", "img-src 'self'", "connect-src 'self'"],
      ...["base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'"],
    ]);
    const headers = {
      'x-content-type-options': 'nosniff',
      'cache-control': 'no-cache',
      'referrer-policy': 'no-referrer',
      'cross-origin-opener-policy': 'same-origin',
    };
    for (const [name, value] of Object.entries(headers)) assert.equal(page.headers.get(name), value, name);
    const script = await fetch(`${served.url}/assets/index-BqT0lN3x.js`);
    assert.match(script.headers.get('cache-control') ?? '', /max-age=31536000, immutable/);
    assert.match(script.headers.get('content-type') ?? '', /javascript/);
    // fetch() itself asks not to be answered from a cache.
    const again = await raw(served.server.httpAddress, '/', `if-none-match: ${page.headers.get('etag')}`);
    assert.match(again, /^HTTP\/1\.1 304 /);
  });

  test('has no listing, no hidden files and no way out of its folder', async () => {
    for (const path of [
      '/assets/',
      '/assets',
      '/.hidden',
      '/%2e%2e/secret.txt',
      '/..%2fsecret.txt',
      '/assets/..%5c..%5csecret.txt',
      '/%00',
    ]) {
      const answer = await raw(served.server.httpAddress, path);
      assert.match(answer, /^HTTP\/1\.1 (404|403|400|301|302) /, path);
      assert.doesNotMatch(answer, /secret\b(?!\.txt)|hidden\n/, path);
    }
    assert.match(await raw(served.server.httpAddress, '/../secret.txt'), /^HTTP\/1\.1 (404|403|400) /);
    assert.equal((await fetch(`${served.url}/v1/models`)).status, 200);
  });
});

/** The answer to a path that is sent as it is. */
async function raw(address: string, path: string, header = 'accept: */*'): Promise<string> {
  const [host, port] = address.split(':') as [string, string];
  const socket = connect(Number(port), host);
  socket.write(`GET ${path} HTTP/1.1\r\nhost: ${address}\r\n${header}\r\nconnection: close\r\n\r\n`);
  return readText(socket);
}
