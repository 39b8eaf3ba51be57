import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, connect, createServer as createTcpServer, type Socket } from 'node:net';
import { type TestContext, test } from 'node:test';
import { pino } from 'pino';
import { type Client, type ClientOptions, createClient } from '../../src/client/index.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';
import { until } from '../support/until.js';
import { untilMetric } from '../support/untilMetric.js';

/** Replicas that are lost while calls run on them, and connections that are cut between client and service. */

const image = { width: 56, height: 56, rgb: new Uint8Array(56 * 56 * 3).fill(7) };
/** 300 KB: forty of them are more than grpc-js reads ahead. */
const medium = { width: 320, height: 320, rgb: new Uint8Array(320 * 320 * 3).fill(7) };
/** More than gRPC keeps for a retry by default, 1 MiB. */
const large = { width: 1024, height: 1024, rgb: new Uint8Array(1024 * 1024 * 3).fill(7) };

/** A replica whose runs wait. */
async function startReplica(t: TestContext, address = '127.0.0.1:0') {
  const held = createHeldEngine();
  const server = await createServer({
    models: [{ engine: held.engine }],
    logger: pino({ level: 'silent' }),
    ...{ address, metricsAddress: '127.0.0.1:0' },
  });
  t.after(() => {
    held.free();
    return server.close(true);
  });
  return { ...held, server };
}

type Replica = Awaited<ReturnType<typeof startReplica>>;

function clientOf(
  t: TestContext,
  servers: readonly Pick<RunningServer, 'address'>[],
  options: Partial<ClientOptions> = {},
) {
  const address = `ipv4:${servers.map((server) => server.address).join(',')}`;
  const client = createClient({ address, deadlineMs: 30_000, ...options });
  t.after(() => client.close());
  return client;
}

/** Starts a call on two replicas, ends the one that runs it, and lets the other continue. @returns the call */
async function loseTheRunning<T>(
  t: TestContext,
  options: Partial<ClientOptions>,
  call: (client: Client) => Promise<T>,
) {
  const replicas = [await startReplica(t), await startReplica(t)] as const;
  const client = clientOf(
    t,
    replicas.map(({ server }) => server),
    options,
  );
  await client.waitForReady();
  const begun = Promise.race(replicas.map(async (replica) => replica.nextRun().then(() => replica)));
  const answer = call(client);
  answer.catch(() => {});
  const running: Replica = await begun;
  for (const replica of replicas) if (replica !== running) replica.free();
  // The process is gone: its connections end without a status.
  await Promise.all([running.server.close(true), running.free()]);
  return answer;
}

test('a call whose replica is lost is answered by another, also one of several MiB, which gRPC would not keep by default', async (t) => {
  const { vector } = await loseTheRunning(t, {}, (client) => client.embed(large));
  assert.equal(vector.length, 16);
});

test('so are StoreFeatures, whose repetition stores the same entry, and a chunked answer that has not begun', async (t) => {
  const { featureRef } = await loseTheRunning(t, {}, (client) => client.storeFeatures(image));
  assert.ok(featureRef.length > 0);
  const { shape } = await loseTheRunning(t, {}, (client) => client.features(image, { chunked: true }));
  assert.deepEqual(shape, [7, 7, 16]);
});

test('without retries such a call fails as UNAVAILABLE', async (t) => {
  await assert.rejects(
    loseTheRunning(t, { retries: false }, (client) => client.embed(image)),
    { code: 'UNAVAILABLE' },
  );
});

test('a call that waits for ready is answered by a service that starts later; without it the call fails', async (t) => {
  const first = await startReplica(t);
  const { address } = first.server;
  await first.server.close(true);
  const quick = clientOf(t, [{ address }]);
  await assert.rejects(quick.embed(image), { code: 'UNAVAILABLE' });
  const patient = clientOf(t, [{ address }], { waitForReady: true });
  const answers = Promise.all([patient.embed(image), quick.embed(image, { waitForReady: true })]);
  const second = await startReplica(t, address);
  second.free();
  for (const { vector } of await answers) assert.equal(vector.length, 16);
});

test('calls are spread over all replicas in turn; with pick_first one gets them all', async (t) => {
  const replicas = [await startReplica(t), await startReplica(t), await startReplica(t)];
  for (const replica of replicas) replica.free();
  const servers = replicas.map(({ server }) => server);
  const counts = () => replicas.map(({ runs }) => runs.length);
  const spread = clientOf(t, servers);
  // Until all connections are open, those that are get the calls.
  await until(async () => {
    await spread.embed(image);
    return counts().every((count) => count > 0);
  });
  const before = counts();
  for (let i = 0; i < 9; i++) await spread.embed(image);
  assert.deepEqual(
    counts().map((count, i) => count - before[i]!),
    [3, 3, 3],
  );
  const single = clientOf(t, servers, { loadBalancing: 'pick_first' });
  const earlier = counts();
  for (let i = 0; i < 6; i++) await single.embed(image);
  assert.deepEqual(
    counts()
      .map((count, i) => count - earlier[i]!)
      .sort(),
    [0, 0, 6],
  );
});

test('options of the client that cannot work are rejected with their name', () => {
  for (const [options, message] of [
    [{ keepaliveMs: 0 }, /keepaliveMs: 0 is not an interval; use Infinity/],
    [{ keepaliveMs: 1.5 }, /keepaliveMs: 1.5/],
    [{ keepaliveTimeoutMs: -1 }, /keepaliveTimeoutMs: -1/],
  ] as const) {
    assert.throws(() => createClient({ address: '127.0.0.1:1', ...options }), { code: 'INVALID_ARGUMENT', message });
  }
  void createClient({ address: '127.0.0.1:1', keepaliveMs: Number.POSITIVE_INFINITY }).close();
});

/** A proxy that forwards bytes, and cuts its connections as a proxy that is restarted does. */
async function startProxy(t: TestContext, address: string) {
  const [host, port] = address.split(':') as [string, string];
  const open = new Set<Socket>();
  /** Bytes to the client after which the connections are cut. */
  let left = Number.POSITIVE_INFINITY;
  const cut = (): void => {
    left = Number.POSITIVE_INFINITY;
    for (const socket of open) socket.resetAndDestroy();
  };
  const proxy = createTcpServer((near) => {
    const far = connect(Number(port), host);
    near.pipe(far);
    far.on('data', (bytes: Buffer) => {
      near.write(bytes.subarray(0, left));
      left -= bytes.length;
      if (left <= 0) cut();
    });
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on('error', () => {}).on('close', () => open.delete(socket));
    }
  });
  proxy.listen(0, '127.0.0.1');
  await once(proxy, 'listening');
  t.after(() => {
    cut();
    proxy.close();
  });
  return {
    address: `127.0.0.1:${(proxy.address() as AddressInfo).port}`,
    cut,
    cutAfter(bytes: number): void {
      left = bytes;
    },
  };
}

test('a proxy that cuts connections mid-stream: unary calls are repeated, a stream fails after what was answered and can be continued', async (t) => {
  const replica = await startReplica(t);
  const proxy = await startProxy(t, replica.server.address);
  const client = clientOf(t, [proxy]);
  const running = replica.nextRun();
  const call = client.embed(image);
  await running;
  proxy.cut();
  // The repeated call; the run of the first one is still held.
  replica.free();
  assert.equal((await call).vector.length, 16);

  const ids = Array.from({ length: 40 }, (_, i) => String(i));
  const missing = new Set(ids);
  let sent = 0;
  async function* items() {
    for (const id of missing) {
      sent++;
      yield { id, image: medium };
    }
  }
  await assert.rejects(
    async () => {
      for await (const { id, status } of client.embedStream(items())) {
        assert.equal(status, 'fulfilled');
        missing.delete(id);
        if (missing.size === 30) {
          replica.hold();
          proxy.cut();
        }
      }
    },
    { code: 'UNAVAILABLE' },
  );
  assert.ok(missing.size > 0 && missing.size <= 30, `${missing.size} are missing`);
  assert.ok(sent < ids.length, 'the client has not read the rest');
  replica.free();
  for await (const { id } of client.embedStream(items())) missing.delete(id);
  assert.deepEqual([...missing], []);
  // What the lost calls held is released.
  const { metricsAddress } = replica.server;
  await untilMetric(metricsAddress, /^vicregl_requests_in_flight\{method="Embed"\} 0$/m);
  await untilMetric(metricsAddress, /^vicregl_requests_in_flight\{method="EmbedStream"\} 0$/m);
  await untilMetric(metricsAddress, /^vicregl_held_request_bytes 0$/m);
});

test('a chunked answer that is cut in the middle fails: its beginning is never taken for the whole', async (t) => {
  const replica = await startReplica(t);
  replica.free();
  const proxy = await startProxy(t, replica.server.address);
  const client = clientOf(t, [proxy]);
  // 128 x 128 cells of 16 channels in float32: 1 MiB.
  const ask = () => client.features({ pixels: large, resize: { kind: 'native' } }, { chunked: true });
  const { shape } = await ask();
  assert.deepEqual(shape, [128, 128, 16]);
  proxy.cutAfter(500_000);
  await assert.rejects(ask(), { code: 'UNAVAILABLE' });
  assert.deepEqual((await ask()).shape, shape);
});
