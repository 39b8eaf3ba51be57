import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { after, before, describe, test } from 'node:test';
import { createLocalTransport } from '../../src/cli/localTransport.js';
import { createClientOver } from '../../src/client/client.js';
import { createGrpcTransport } from '../../src/client/grpcTransport.js';
import { type AnyCall, methodCalls, type Transport } from '../../src/client/transport.js';
import { VicreglError } from '../../src/client/vicreglError.js';
import { createFakeEngine } from '../../src/engine/fakeEngine.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { mapMethods } from '../../src/proto/methods.js';
import { createService } from '../../src/serve/api/service.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer, type RunningServer } from '../../src/serve/server.js';
import { tinyManifest } from '../support/tinyModel.js';

/** Every method of the loaded definition must exist in all places that need it: handler, client, metrics and API guide. */

const { service: definitions } = loadVicreglService();
const names = Object.values(definitions).map(({ path }) => path.split('/').at(-1)!);
const engineOf = () => createFakeEngine({ manifest: { ...tinyManifest, files: {} } });

/** Result of one empty request: the number of messages, or the error. */
type Outcome = { readonly messages: number } | { readonly code: string; readonly message: string };

/** Sends one empty request to every method. @returns the results by method name */
async function outcomes(transport: Transport): Promise<Record<string, Outcome>> {
  const found: Record<string, Outcome> = {};
  for (const [name, { requestStream }] of Object.entries(definitions)) {
    const call = transport[`${name.charAt(0).toLowerCase()}${name.slice(1)}` as keyof Transport];
    assert.equal(typeof call, 'function', `the transport has no call for ${name}`);
    const request = requestStream
      ? (async function* () {
          yield {};
        })()
      : {};
    try {
      const answer = (call as (request: unknown, options: object) => unknown)(request, {});
      let messages = 0;
      if (answer instanceof Promise) messages += (await answer) ? 1 : 0;
      else for await (const _ of answer as AsyncIterable<unknown>) messages++;
      found[name] = { messages };
    } catch (error) {
      const { code, message } = VicreglError.from(error);
      found[name] = { code, message };
    }
  }
  return found;
}

/** A transport without answers. @param called receives the name of every method that is called */
function recordingTransport(called: Set<string>): Transport {
  const nothing = async function* (name: string): AsyncGenerator<unknown, void> {
    called.add(name);
    yield* [];
  };
  return {
    ...methodCalls(
      mapMethods<AnyCall>(definitions, {
        unary: (_, name) => async () => {
          called.add(name);
          throw new Error('nothing answers');
        },
        serverStream: (_, name) => () => nothing(name),
        itemStream: (_, name) => () => nothing(name),
      }),
    ),
    maxResponseBytes: 1024,
    waitForReady: async () => {},
    close: async () => {},
  };
}

describe('every method of the API', () => {
  let server: RunningServer;
  let overSocket: Record<string, Outcome>;
  before(async () => {
    server = await createServer({
      models: [{ engine: engineOf() }],
      ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
      logger: createLogger('silent'),
    });
    const transport = createGrpcTransport({ address: server.address, deadlineMs: 60_000, maxMessageBytes: 2 ** 20 });
    overSocket = await outcomes(transport);
    await transport.close();
  });
  after(() => server.close(true));

  test('has a handler', () => {
    assert.ok(names.length > 0);
    assert.deepEqual(Object.keys(overSocket).sort(), [...names].sort());
    for (const [name, outcome] of Object.entries(overSocket)) {
      const unexpected = 'code' in outcome && !['INVALID_ARGUMENT', 'NOT_FOUND'].includes(outcome.code);
      assert.ok(!unexpected, `${name}: ${JSON.stringify(outcome)}`);
    }
  });

  test('is counted under its name', async () => {
    const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    for (const name of names) {
      const counts = [...text.matchAll(/^vicregl_requests_total\{method="(\w+)",code="\w+"\} (\d+)$/gm)]
        .filter(([, method]) => method === name)
        .map(([, , count]) => Number(count));
      assert.deepEqual(counts, [1], name);
    }
  });

  test('gives the same answer in-process as over a socket', async () => {
    const transport = createLocalTransport(createService({ models: [{ engine: engineOf() }] }));
    assert.deepEqual(await outcomes(transport), overSocket);
    await transport.close();
  });

  test('is called by a function of the client', async () => {
    const called = new Set<string>();
    const client = createClientOver(recordingTransport(called));
    const image = { width: 1, height: 1, rgb: new Uint8Array(3) };
    // Arguments in every form that a function of the client takes. Functions throw for the forms of others.
    const forms = [[], [image], [[image]], [[{ id: 'a', image }]], [image, image], [image, [image]]];
    for (const call of Object.values(client) as ((...args: unknown[]) => unknown)[]) {
      for (const form of forms) {
        for (const options of [{}, { chunked: true }]) {
          try {
            const answer = await call(...form, options);
            if (typeof answer === 'object' && answer && Symbol.asyncIterator in answer) {
              for await (const _ of answer as AsyncIterable<unknown>);
            }
          } catch {
            // There is no answer. Only the called method counts.
          }
        }
      }
    }
    assert.deepEqual([...called].sort(), [...names].sort());
  });

  test('has a row in the API guide, which says whether a full queue rejects its calls before their message is read', async () => {
    const guide = await readFile('docs/service/api.md', 'utf8');
    const rows = guide.split('\n').map((line) => line.split('|').map((cell) => cell.trim()));
    const { methods, close } = createService({ models: [{ engine: engineOf() }] });
    const said = names.map((name) => {
      const row = rows.find((cells) => cells[1] === `\`${name}\``);
      assert.ok(row, `docs/service/api.md has no row for ${name}`);
      return [name, row.at(-2)!.includes('rejected before the message is read') ? 'image' : 'none'];
    });
    assert.deepEqual(
      Object.fromEntries(said),
      Object.fromEntries(names.map((name) => [name, methods[name as keyof typeof methods].admission])),
    );
    await close();
  });
});
