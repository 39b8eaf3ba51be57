import assert from 'node:assert/strict';
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { createClient } from '../../src/client/index.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { serviceName } from '../../src/proto/load.js';
import { decodeFacts } from '../../src/proto/statusDetails.js';
import { defaultServeLimits, type ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { tinyManifest } from '../support/tinyModel.js';
import { untilMetric } from '../support/untilMetric.js';

/** Clients that start a call and then send nothing. */

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };

async function start(t: TestContext, limits: Partial<ServeLimits>) {
  const server = await createServer({
    models: [{ engine: createFakeEngine({ manifest: { ...tinyManifest, files: {} } }) }],
    logger: pino({ level: 'silent' }),
    ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    limits: { ...defaultServeLimits, ...limits },
  });
  t.after(() => server.close(true));
  return server;
}

/** A router between two machines that silently drops its connections on request, without a notice to either side. */
async function forgetfulRouter(t: TestContext, address: string) {
  const [host, port] = address.split(':') as [string, string];
  const sockets: Socket[] = [];
  const router = createTcpServer((near) => {
    const far = connect(Number(port), host);
    near.pipe(far).pipe(near);
    for (const socket of [near, far]) socket.on('error', () => {});
    sockets.push(near, far);
  });
  router.listen(0, '127.0.0.1');
  await once(router, 'listening');
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    router.close();
  });
  return {
    address: `127.0.0.1:${(router.address() as AddressInfo).port}`,
    forget(): void {
      for (const socket of sockets) {
        socket.unpipe();
        socket.pause();
      }
    },
  };
}

test('a message that never arrives completely fails its call after receiveSeconds, with the reason', async (t) => {
  const { address, metricsAddress } = await start(t, { receiveSeconds: 1 });
  const session = connectHttp2(`http://${address}`);
  // The service closes both at the end of the test.
  session.on('error', () => {});
  t.after(() => session.destroy());
  const stream = session.request({
    ':method': 'POST',
    ':path': `/${serviceName}/Embed`,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  stream.on('error', () => {});
  // The header of a message of 1,000 bytes, and three of its bytes.
  stream.write(Buffer.from([0, 0, 0, 3, 0xe8, 1, 2, 3]));
  const [headers] = await once(stream, 'response');
  assert.equal(headers['grpc-status'], '4', 'DEADLINE_EXCEEDED');
  assert.match(decodeURI(headers['grpc-message']), /did not arrive in 1 s \(receiveSeconds\)/);
  assert.equal(decodeFacts(Buffer.from(headers['grpc-status-details-bin'], 'base64'))?.reason, 'MESSAGE_LATE');
  await untilMetric(metricsAddress, /^vicregl_requests_total\{method="Embed",code="DEADLINE_EXCEEDED"\} 1$/m);
  const client = createClient({ address });
  t.after(() => client.close());
  assert.equal((await client.embed(image)).vector.length, 16);
});

test('a silently dropped connection is detected: its stream ends and its resources are released', async (t) => {
  const { address, metricsAddress } = await start(t, { keepaliveSeconds: 1, keepaliveTimeoutSeconds: 1 });
  const router = await forgetfulRouter(t, address);
  const client = createClient({ address: router.address });
  async function* items() {
    yield { id: 'one', image };
    // The stream of the client stays open while the router drops the connection.
    await new Promise(() => {});
  }
  const answers = client.embedStream(items())[Symbol.asyncIterator]();
  assert.equal((await answers.next()).value?.id, 'one');
  await untilMetric(metricsAddress, /^vicregl_requests_in_flight\{method="EmbedStream"\} 1$/m);
  router.forget();
  await untilMetric(metricsAddress, /^vicregl_requests_in_flight\{method="EmbedStream"\} 0$/m);
  await untilMetric(metricsAddress, /^vicregl_held_request_bytes 0$/m);
  const other = createClient({ address });
  assert.equal((await other.embed(image)).vector.length, 16);
  await other.close();
});
