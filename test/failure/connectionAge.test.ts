import assert from 'node:assert/strict';
import { Agent, get } from 'node:http';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { createClient } from '../../src/client/index.js';
import { loadVicreglService, serviceName } from '../../src/proto/load.js';
import { defaultServeLimits, type ServeLimits } from '../../src/serve/config/serveLimits.js';
import { createServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { callFields, connectRaw, FLAG, FRAME, headers, messageFrames } from '../support/rawFrames.js';
import { until } from '../support/until.js';
import { untilMetric } from '../support/untilMetric.js';

/** Connections that reach the age after which the service takes no new calls on them. */

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };
const { Embed } = loadVicreglService().service;
const request = Embed.requestSerialize({ image: { raw: { width: 56, height: 56, rgb: Buffer.from(image.rgb) } } });

async function start(t: TestContext, limits: Partial<ServeLimits>) {
  const held = createHeldEngine();
  const server = await createServer({
    models: [{ engine: held.engine }],
    logger: pino({ level: 'silent' }),
    ...{ address: '127.0.0.1:0', httpAddress: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    limits: { ...defaultServeLimits, ...limits },
  });
  t.after(() => {
    held.free();
    return server.close(true);
  });
  return { ...held, server };
}

test('a connection that reaches its age gets GOAWAY, and its running call is answered before it is closed', async (t) => {
  const { server, nextRun, free } = await start(t, { connectionAgeSeconds: 1 });
  const connection = await connectRaw(server.address);
  const running = nextRun();
  connection.send(Buffer.concat([headers(1, callFields(`/${serviceName}/Embed`)), messageFrames(1, request)]));
  await running;
  const goaway = await connection.until(({ type }) => type === FRAME.goaway);
  assert.equal(goaway.payload.readUInt32BE(4), 0, 'NO_ERROR');
  assert.equal(goaway.payload.subarray(8).toString(), 'max_age');
  free();
  await connection.until(
    ({ stream, type, flags }) => stream === 1 && type === FRAME.headers && !!(flags & FLAG.endStream),
  );
  await connection.closed;
  await untilMetric(server.metricsAddress, /^vicregl_requests_total\{method="Embed",code="OK"\} 1$/m);
});

test('a client that calls all the time moves to new connections without a failed call, also without retries', async (t) => {
  const { server, free } = await start(t, { connectionAgeSeconds: 1 });
  free();
  const client = createClient({ address: server.address, retries: false });
  t.after(() => client.close());
  const agent = new Agent({ keepAlive: true, maxSockets: 1 });
  t.after(() => agent.destroy());
  /** Whether the response closes its connection. */
  const ask = () =>
    new Promise<boolean>((resolve, reject) => {
      get(`http://${server.httpAddress}/healthz`, { agent }, (response) => {
        response.resume().on('end', () => resolve(response.headers.connection === 'close'));
      }).on('error', reject);
    });
  const closes: boolean[] = [];
  let over = false;
  const callers = Array.from({ length: 4 }, async () => {
    while (!over) await client.embed(image);
  });
  await until(async () => {
    closes.push(await ask());
    return closes.filter(Boolean).length === 2;
  }, 5);
  over = true;
  await Promise.all(callers);
  assert.equal(closes[0], false);
  assert.ok(closes.length > 10, 'only old connections are closed');
});

test('a call that exceeds the grace period of its old connection ends as UNAVAILABLE, and is repeated by default', async (t) => {
  const { server, nextRun, free } = await start(t, { connectionAgeSeconds: 1, connectionAgeGraceSeconds: 1 });
  const strict = createClient({ address: server.address, retries: false });
  const standard = createClient({ address: server.address });
  t.after(() => Promise.all([strict.close(), standard.close()]));
  const failing = assert.rejects(strict.embed(image), { code: 'UNAVAILABLE' });
  const repeated = standard.embed(image);
  await nextRun();
  await failing;
  await untilMetric(
    server.metricsAddress,
    /^vicregl_requests_rejected_total\{method="Embed",reason="CONNECTION_AGED"\} 2$/m,
  );
  free();
  assert.equal((await repeated).vector.length, 16);
});
