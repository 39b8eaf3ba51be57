import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { connect as connectHttp2 } from 'node:http2';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, type TestContext, test } from 'node:test';
import { connect as connectTls } from 'node:tls';
import { credentials, Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { pino } from 'pino';
import { loadVicreglService, serviceName } from '../../src/proto/load.js';
import { decodeFacts } from '../../src/proto/statusDetails.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { openCertificateStore } from '../../src/serve/operations/auth/certificates.js';
import { createServer, type ServerOptions } from '../../src/serve/server.js';
import { createAuthority, writeIdentity } from '../support/certificates.js';
import { createHeldEngine } from '../support/heldEngine.js';
import {
  callFields,
  connectRaw,
  type Fields,
  FLAG,
  FRAME,
  type Frame,
  frame,
  headerBlock,
  headers,
  messageFrames,
  type RawConnection,
} from '../support/rawFrames.js';
import { untilMetric } from '../support/untilMetric.js';

/** Clients that violate HTTP/2, or send more metadata than the limit. Other calls must end promptly or succeed. */

const { Embed } = loadVicreglService().service;
const request = Embed.requestSerialize({
  image: { raw: { width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3) } },
});
const embedPath = `/${serviceName}/Embed`;

const grpcPackage = new URL('../../../node_modules/@grpc/grpc-js/package.json', import.meta.url);
const { version: grpcVersion } = JSON.parse(await readFile(grpcPackage, 'utf8')) as { version: string };

/** The service with an engine whose runs wait. */
async function start(t: TestContext, options: Partial<ServerOptions> = {}) {
  const held = createHeldEngine();
  const server = await createServer({
    models: [{ engine: held.engine }],
    ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0', logger: pino({ level: 'silent' }) },
    ...options,
  });
  t.after(async () => {
    held.free();
    await server.close(true);
  });
  const metrics = async () => (await fetch(`http://${server.metricsAddress}/metrics`)).text();
  /** Number of Embed calls by counted status code. */
  async function ends(): Promise<Record<string, number>> {
    const lines = (await metrics()).matchAll(/^vicregl_requests_total\{method="Embed",code="(\w+)"\} (\d+)$/gm);
    return Object.fromEntries([...lines].map(([, code, count]) => [code, Number(count)]));
  }
  return { ...held, server, ends, until: (line: RegExp) => untilMetric(server.metricsAddress, line) };
}

const embed = (stream: number, others: Fields = []): Buffer =>
  Buffer.concat([headers(stream, callFields(embedPath, others)), messageFrames(stream, request)]);

const isEndOf = (stream: number) => (got: Frame) =>
  got.stream === stream && (got.type === FRAME.rst || (got.type === FRAME.headers && !!(got.flags & FLAG.endStream)));

/** Frames that violate HTTP/2, sent on stream 3 while a call is open on stream 1. */
const breaches: Readonly<Record<string, () => Buffer>> = {
  'a header field of 70,000 bytes': () => headers(3, callFields(embedPath, [['x', 'a'.repeat(70_000)]])),
  'a header field of 70,000 bytes in trailers': () =>
    Buffer.concat([
      headers(3, callFields(embedPath)),
      messageFrames(3, request, false),
      headers(3, [['x', 'a'.repeat(70_000)]], true),
    ]),
  'a header block that cannot be decompressed': () => frame(FRAME.headers, FLAG.endHeaders, 3, Buffer.alloc(100, 0xff)),
  'header blocks without an end': () =>
    Buffer.concat([
      frame(FRAME.headers, 0, 3, headerBlock(callFields(embedPath))),
      ...Array.from({ length: 100 }, (_, i) => frame(FRAME.continuation, 0, 3, headerBlock([[`x${i}`, 'a']]))),
    ]),
  'a frame over 16 KiB': () => frame(FRAME.data, 0, 1, Buffer.alloc(20_000)),
  'data outside every stream': () => frame(FRAME.data, 0, 0, Buffer.alloc(4)),
  'a ping of three bytes': () => frame(FRAME.ping, 0, 0, Buffer.alloc(3)),
  'a window over its maximum': () => frame(FRAME.windowUpdate, 0, 0, Buffer.from([0x7f, 0xff, 0xff, 0xff])),
};

/** Opens a call, sends the violation, and checks the consequences. */
async function breakBesideACall(
  t: TestContext,
  connection: RawConnection,
  breach: Buffer,
  service: Awaited<ReturnType<typeof start>>,
) {
  const running = service.nextRun();
  connection.send(embed(1));
  await running;
  connection.send(breach);
  // The run is not released, so the answer of the other call cannot be what ends the connection.
  await connection.closed;
  assert.ok(!connection.frames.some(({ stream }) => stream === 1), 'the call beside it has no answer');
  service.free();
  await service.until(/^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
  // The open call, and the call that the violation started, if it did.
  const { UNAVAILABLE, NO_MESSAGE = 0, ...others } = await service.ends();
  assert.deepEqual(others, {});
  assert.equal(UNAVAILABLE, 1);
  assert.ok(NO_MESSAGE <= 1);
  // Other connections are served.
  const next = await connectRaw(service.server.address, connection.reopen);
  t.after(() => next.socket.destroy());
  next.send(embed(1));
  const answer = await next.until(isEndOf(1));
  assert.equal(answer.type, FRAME.headers);
}

describe('a connection that violates HTTP/2 is closed, and its calls fail as UNAVAILABLE', () => {
  for (const [name, breach] of Object.entries(breaches)) {
    test(name, async (t) => {
      const service = await start(t);
      const connection = await connectRaw(service.server.address);
      await breakBesideACall(t, connection, breach(), service);
    });
  }

  test('over TLS', async (t) => {
    const folder = await mkdtemp(join(tmpdir(), 'vicregl-broken-'));
    t.after(() => rm(folder, { recursive: true }));
    const authority = createAuthority('authority');
    const paths = await writeIdentity(folder, 'server', authority.sign('server'));
    const service = await start(t, { tls: await openCertificateStore({ tlsCert: paths.cert, tlsKey: paths.key }) });
    const port = Number(service.server.address.split(':')[1]);
    const open = () =>
      connectTls({ port, host: '127.0.0.1', servername: 'localhost', ca: authority.cert, ALPNProtocols: ['h2'] });
    const connection = await connectRaw(service.server.address, open);
    await breakBesideACall(t, connection, breaches['a header field of 70,000 bytes']!(), service);
  });

  test('also when no other call is open, and when the client sends nothing afterwards', async (t) => {
    const service = await start(t);
    const sockets = () => process.getActiveResourcesInfo().filter((name) => name === 'TCPSocketWrap').length;
    const before = sockets();
    const connections = await Promise.all(Array.from({ length: 10 }, () => connectRaw(service.server.address)));
    for (const connection of connections) connection.send(breaches['a header field of 70,000 bytes']!());
    await Promise.all(connections.map(({ closed }) => closed));
    await new Promise(setImmediate);
    assert.ok(sockets() <= before, `${sockets()} sockets are open, ${before} were before`);
  });

  test('also while the answer of a call is written: the call counts as not answered', async (t) => {
    const service = await start(t);
    const connection = await connectRaw(service.server.address);
    const running = service.nextRun();
    connection.send(embed(1));
    await running;
    connection.send(breaches['a header field of 70,000 bytes']!());
    // The run ends directly after the violation.
    await connection.until(({ type }) => type === FRAME.goaway);
    service.free();
    await connection.closed;
    await service.until(/^vicregl_requests_total\{method="Embed",code="UNAVAILABLE"\} 1$/m);
    assert.equal((await service.ends())['OK'], undefined);
  });

  test('with the HTTP/2 client of Node', async (t) => {
    const service = await start(t);
    const session = connectHttp2(`http://${service.server.address}`, { maxSendHeaderBlockLength: 1e9 });
    session.on('error', () => {});
    const call = (others: Record<string, string> = {}) => {
      const stream = session.request({ ...Object.fromEntries(callFields(embedPath)), ...others });
      const end = new Promise<string>((resolve) => {
        stream.on('error', (error) => resolve(error.message));
        stream.on('trailers', (trailers) => resolve(`status ${trailers['grpc-status']}`));
      });
      return { stream, end };
    };
    const running = service.nextRun();
    const beside = call();
    const head = Buffer.alloc(5);
    head.writeUInt32BE(request.byteLength, 1);
    beside.stream.end(Buffer.concat([head, request]));
    await running;
    // Characters whose Huffman code is longer than one byte.
    call({ x: '\\'.repeat(70_000) }).stream.end();
    assert.match(await beside.end, /Session closed with error code|Stream closed with error code|hang up/);
    service.free();
    await service.until(/^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
    assert.equal((await service.ends())['OK'], undefined);
    session.destroy();
  });
});

describe('metadata', () => {
  /** Calls GetModel with metadata. */
  async function ask(address: string, metadata: Metadata) {
    const Client = loadVicreglService();
    const client = new Client(address, credentials.createInsecure());
    let error: ServiceError | null = null;
    const status = await new Promise<StatusObject>((resolve) => {
      client.getModel({}, metadata, (failed) => (error = failed)).on('status', resolve);
    });
    client.close();
    return { status, error: error as ServiceError | null };
  }

  /** Metadata of a given size as HTTP/2 counts it, in fields of about `most` bytes. */
  function metadataOf(bytes: number, most = bytes): Metadata {
    const metadata = new Metadata();
    // The fields that grpc-js sends by default.
    let rest = bytes - ('user-agent'.length + `grpc-node-js/${grpcVersion}`.length + 32);
    const overhead = 'x-filler-1000'.length + 32;
    for (let i = 1000; rest > 0; i++) {
      const size = rest < most + overhead ? rest : most;
      metadata.set(`x-filler-${i}`, 'a'.repeat(size - overhead));
      rest -= size;
    }
    return metadata;
  }
  test('its size limit is announced to every connection', async (t) => {
    const service = await start(t);
    const { frames, socket } = await connectRaw(service.server.address);
    const settings = frames.find(({ type, flags }) => type === FRAME.settings && flags === 0)!.payload;
    const announced = Array.from({ length: settings.length / 6 }, (_, i) => [
      settings.readUInt16BE(6 * i),
      settings.readUInt32BE(6 * i + 2),
    ]);
    const MAX_HEADER_LIST_SIZE = 6;
    assert.equal(Object.fromEntries(announced)[MAX_HEADER_LIST_SIZE], 65_536);
    socket.destroy();
  });

  test('is accepted up to the limit, as one field or as hundreds', async (t) => {
    const service = await start(t);
    const { metadataBytes } = defaultServeLimits;
    for (const most of [metadataBytes, 60]) {
      const { status } = await ask(service.server.address, metadataOf(metadataBytes, most));
      assert.equal(status.code, 0, status.details);
    }
  });

  test('over the limit is rejected with the name of the limit and counted, and other calls are not affected', async (t) => {
    const service = await start(t);
    for (const most of [60_000, 60]) {
      const { status } = await ask(service.server.address, metadataOf(defaultServeLimits.metadataBytes + 1, most));
      assert.equal(status.code, 8);
      assert.match(status.details, /metadata of the call has 16385 bytes .* limit of 16384 \(metadataBytes\)/);
      const [details] = status.metadata.get('grpc-status-details-bin') as Buffer[];
      assert.equal(decodeFacts(details!)?.reason, 'TOO_LARGE');
    }
    await service.until(/^vicregl_requests_total\{method="GetModel",code="RESOURCE_EXHAUSTED"\} 2$/m);
  });

  test('over the announced limit resets its call, also in trailers, and other calls are not affected', async (t) => {
    const service = await start(t);
    const many: Fields = Array.from({ length: 40 }, (_, i) => [`x${i}`, 'a'.repeat(2000)]);
    const connection = await connectRaw(service.server.address);
    const running = service.nextRun();
    connection.send(embed(1));
    await running;
    connection.send(embed(3, many));
    assert.equal((await connection.until(isEndOf(3))).type, FRAME.rst);
    connection.send(headers(5, callFields(embedPath)), messageFrames(5, request, false), headers(5, many, true));
    assert.equal((await connection.until(isEndOf(5))).type, FRAME.rst);
    service.free();
    const answer = await connection.until(isEndOf(1));
    assert.ok(answer.payload.includes('grpc-status') || answer.type === FRAME.headers);
    await service.until(/^vicregl_requests_total\{method="Embed",code="OK"\} 1$/m);
    await service.until(/^vicregl_requests_total\{method="Embed",code="NO_MESSAGE"\} 1$/m);
    connection.socket.destroy();
  });
});
