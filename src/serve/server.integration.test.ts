import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type AddressInfo, createServer as createTcpServer, Server as TcpServer } from 'node:net';
import { type TestContext, test } from 'node:test';
import { tinyManifest } from '../../test/support/tinyModel.js';
import { until } from '../../test/support/until.js';
import { createLocalDecoder } from '../decode/localDecoder.js';
import { createFakeEngine } from '../engine/fakeEngine.js';
import { createLogger } from './operations/logger.js';
import { createServer, type ServerOptions } from './server.js';
import type { Tracing } from './tracing/tracing.js';

/** The start of a server: what a failed one leaves, and what a slow one tells orchestrators. */

const loopback = '127.0.0.1:0';
const logger = createLogger('silent');

/** Options of a server whose parts note that they are closed. */
function parts(...names: string[]) {
  const closed: string[] = [];
  const noted = <T extends { close(): Promise<void> }>(part: T, name: string): T => ({
    ...part,
    close: async () => void closed.push(name),
  });
  const tracing = {
    counts: { exported: 0, queueFull: 0, exportFailed: 0 },
    run: () => undefined,
  } as unknown as Tracing;
  const options: ServerOptions = {
    models: names.map((name) => ({
      engine: noted(createFakeEngine({ manifest: { ...tinyManifest, files: {}, name } }), name),
    })),
    decoder: noted(createLocalDecoder(), 'decoder'),
    tracing: noted(tracing, 'tracing'),
    ...{ address: loopback, metricsAddress: loopback, logger },
  };
  return { closed, options };
}

/** HOST:PORT on which a server listens that is not ours. */
async function taken(t: TestContext): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  t.after(() => server.close());
  return `127.0.0.1:${(server.address() as AddressInfo).port}`;
}

/** HOST:PORT on which nothing listens. */
async function free(): Promise<string> {
  const server = createTcpServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return `127.0.0.1:${port}`;
}

test('a model that is given twice ends the start, and everything is closed', async () => {
  const { closed, options } = parts('a', 'a');
  await assert.rejects(createServer(options), { code: 'invalid_argument', message: 'models: a@1 is given twice' });
  assert.deepEqual(closed.sort(), ['a', 'a', 'decoder', 'tracing']);
});

for (const key of ['address', 'httpAddress', 'metricsAddress'] as const) {
  test(`a taken ${key} ends the start, and everything is closed`, async (t) => {
    const address = await taken(t);
    const { closed, options } = parts('a', 'b');
    const metricsAddress = await free();
    await assert.rejects(createServer({ ...options, httpAddress: loopback, metricsAddress, [key]: address }), (error) =>
      String(error).includes(`cannot listen on ${address}`),
    );
    assert.deepEqual(closed.sort(), ['a', 'b', 'decoder', 'tracing']);
    await assert.rejects(fetch(`http://${metricsAddress}/healthz`), 'the metrics listen no more');
  });
}

for (const key of ['address', 'httpAddress'] as const) {
  test(`readiness is 503 until ${key} listens`, async (t) => {
    const [slow, metricsAddress] = [await free(), await free()];
    const { listen } = TcpServer.prototype;
    let release: (() => void) | undefined;
    t.mock.method(TcpServer.prototype, 'listen', function (this: TcpServer, ...args: [{ port?: number }, ...never[]]) {
      const go = () => Reflect.apply(listen, this, args) as TcpServer;
      if (`127.0.0.1:${args[0]?.port}` !== slow || release !== undefined) return go();
      release = () => void go();
      return this;
    });
    const { options } = parts('a');
    const starting = createServer({ ...options, httpAddress: loopback, metricsAddress, [key]: slow });
    await until(() => release !== undefined);
    const readyz = async () => {
      const answer = await fetch(`http://${metricsAddress}/readyz`);
      return { status: answer.status, text: await answer.text() };
    };
    const ready = async () => {
      const text = await (await fetch(`http://${metricsAddress}/metrics`)).text();
      return /^vicregl_ready (\d)$/m.exec(text)?.[1];
    };
    assert.deepEqual(await readyz(), { status: 503, text: 'not ready\nthe listeners are starting\n' });
    assert.equal(await ready(), '0');
    assert.equal((await fetch(`http://${metricsAddress}/healthz`)).status, 200);
    release!();
    const server = await starting;
    assert.deepEqual(await readyz(), { status: 200, text: 'ready\n' });
    assert.equal(await ready(), '1');
    await server.close(true);
  });
}
