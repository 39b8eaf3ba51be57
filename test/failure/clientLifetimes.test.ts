import assert from 'node:assert/strict';
import { getEventListeners, once } from 'node:events';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { Readable } from 'node:stream';
import { describe, type TestContext, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import {
  Metadata,
  Server,
  ServerCredentials,
  type ServerDuplexStream,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
  type UntypedHandleCall,
} from '@grpc/grpc-js';
import { type ClientOptions, checkHealth, createClient, type Phases } from '../../src/client/index.js';
import { loadVicreglService } from '../../src/proto/load.js';
import { until } from '../support/until.js';

/** Ends of calls and clients against a service of which the test decides every answer. */

const image = { width: 1, height: 1, rgb: new Uint8Array(3) };
const answer = {
  embedding: { dtype: 'DATA_TYPE_FLOAT32', shape: [1], data: Buffer.alloc(4) },
  model: { name: 'm', version: '1' },
};
type Embed = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => void;
type EmbedStream = (call: ServerDuplexStream<{ id: string }, unknown>) => void;

const embedding: Embed = (_, done) => done(null, answer);

async function start(
  t: TestContext,
  { Embed = embedding, EmbedStream }: { Embed?: Embed; EmbedStream?: EmbedStream } = {},
  options: Partial<ClientOptions> = {},
) {
  const server = new Server();
  const methods = loadVicreglService().service;
  const handlers: Record<string, UntypedHandleCall> = Object.fromEntries(
    Object.keys(methods).map((name) => [name, () => assert.fail(`${name} was called`)]),
  );
  handlers['Embed'] = Embed as UntypedHandleCall;
  if (EmbedStream) handlers['EmbedStream'] = EmbedStream as UntypedHandleCall;
  server.addService(methods, handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  const client = createClient({ address: `127.0.0.1:${port}`, ...options });
  t.after(async () => {
    await client.close();
    server.forceShutdown();
  });
  return client;
}

/** An address at which nothing listens. */
async function deadAddress(): Promise<string> {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return `127.0.0.1:${port}`;
}

describe('a deadline', () => {
  test('of any length lets the call be answered', async (t) => {
    const client = await start(t);
    for (const deadlineMs of [2 ** 31 - 1, 2 ** 31, 1e12, Number.POSITIVE_INFINITY]) {
      assert.equal((await client.embed(image, { deadlineMs })).vector.length, 1, `${deadlineMs}`);
    }
  });

  test('that is undefined is the default, and one that is no number is INVALID_ARGUMENT', async (t) => {
    const unset = { deadlineMs: undefined, maxMessageBytes: undefined } as unknown as ClientOptions;
    const client = await start(t, {}, unset);
    await client.embed(image);
    await assert.rejects(client.embed(image, { deadlineMs: Number.NaN }), {
      code: 'INVALID_ARGUMENT',
      message: /^deadlineMs: NaN is not a number of milliseconds/,
    });
    const text = { address: '127.0.0.1:1', deadlineMs: 'x' as unknown as number };
    assert.throws(() => createClient(text), { code: 'INVALID_ARGUMENT', message: /^deadlineMs: x/ });
    await assert.rejects(checkHealth({ ...text, deadlineMs: Number.NaN }), { code: 'INVALID_ARGUMENT' });
  });
});

describe('waitForReady', () => {
  test('waits for a service, also without a timeout or with one longer than timers', async (t) => {
    const client = await start(t);
    for (const timeoutMs of [5000, 3e9, Number.POSITIVE_INFINITY]) await client.waitForReady(timeoutMs);
  });

  test('rejects after its timeout, and at once when the client is closed, before or during the wait', async () => {
    const client = createClient({ address: await deadAddress() });
    await assert.rejects(client.waitForReady(300), { code: 'UNAVAILABLE', message: /within 300 ms$/ });
    await assert.rejects(client.waitForReady(Number.NaN), { code: 'INVALID_ARGUMENT' });
    const begin = Date.now();
    const waits = [60_000, 3e9, Number.POSITIVE_INFINITY].map((timeoutMs) =>
      assert.rejects(client.waitForReady(timeoutMs), { code: 'FAILED_PRECONDITION', message: /the client is closed/ }),
    );
    await delay(100);
    await client.close();
    await Promise.all(waits);
    await assert.rejects(client.waitForReady(60_000), { code: 'FAILED_PRECONDITION' });
    assert.ok(Date.now() - begin < 30_000);
  });
});

test('calls of every kind on a closed client are FAILED_PRECONDITION', async (t) => {
  const client = await start(t);
  await client.embed(image);
  await client.close();
  const closed = { code: 'FAILED_PRECONDITION', message: 'the client is closed; create another one' };
  await assert.rejects(client.embed(image), closed);
  await assert.rejects(client.features(image, { chunked: true }), closed);
  await assert.rejects(async () => {
    for await (const _ of client.embedStream([{ id: '0', image }])) assert.fail('an answer');
  }, closed);
});

test('calls made before a client is closed are finished, also those of the same tick and during retries', async (t) => {
  let [calls, refused] = [0, 2];
  const client = await start(t, {
    Embed: (_, done) => {
      calls++;
      if (refused-- > 0) done({ code: status.UNAVAILABLE, details: 'not yet' });
      else setTimeout(() => done(null, answer), 50);
    },
  });
  const made = [client.embed(image), client.embed(image)];
  const closing = client.close();
  await assert.rejects(client.embed(image), { code: 'FAILED_PRECONDITION' });
  for (const { vector } of await Promise.all(made)) assert.equal(vector.length, 1);
  await closing;
  assert.equal(calls, 4);
  const unreachable = createClient({ address: await deadAddress() });
  const failed = assert.rejects(unreachable.embed(image), { code: 'UNAVAILABLE' });
  await unreachable.close();
  await failed;
});

test('an address or authority that cannot be used is INVALID_ARGUMENT', async () => {
  for (const address of ['', undefined as unknown as string]) {
    assert.throws(() => createClient({ address }), {
      code: 'INVALID_ARGUMENT',
      message: /^address: .* give HOST:PORT/,
    });
    await assert.rejects(checkHealth({ address }), { code: 'INVALID_ARGUMENT' });
  }
  const tls = { ca: Buffer.from('no certificate') };
  assert.throws(() => createClient({ address: '127.0.0.1:1', tls }), {
    code: 'INVALID_ARGUMENT',
    message: /^tls: ca, cert or key is not a usable PEM file/,
  });
});

describe('the source of a stream', () => {
  const echo: EmbedStream = (call) => {
    call.on('data', ({ id }) => call.write({ id, response: answer }));
    call.on('end', () => call.end());
    call.on('error', () => {});
  };

  test('is destroyed when the loop is left while it waits for its next item', async (t) => {
    const client = await start(t, { EmbedStream: echo });
    const source = new Readable({ objectMode: true, read() {} });
    source.push({ id: '0', image });
    for await (const { id } of client.embedStream(source)) {
      assert.equal(id, '0');
      break;
    }
    await until(() => source.destroyed);
  });

  test('is destroyed when the call is refused before it reads any item', async (t) => {
    const client = await start(t, { EmbedStream: echo });
    const refusedBy = async (options: { signal?: AbortSignal; deadlineMs?: number }, code: string) => {
      const source = Readable.from([{ id: '0', image }]);
      await assert.rejects(
        async () => {
          for await (const _ of client.embedStream(source, options)) assert.fail('an answer');
        },
        { code },
      );
      assert.ok(source.destroyed);
    };
    await refusedBy({ signal: AbortSignal.abort() }, 'CANCELLED');
    await refusedBy({ deadlineMs: Number.NaN }, 'INVALID_ARGUMENT');
    await client.close();
    await refusedBy({}, 'FAILED_PRECONDITION');
  });

  test('is closed when the call fails while it waits for its next item', async (t) => {
    const client = await start(t, {
      EmbedStream: (call) => {
        call.on('error', () => {});
        call.once('data', () => call.emit('error', { code: status.FAILED_PRECONDITION, details: 'enough' }));
      },
    });
    let closed = false;
    const items = [{ id: '0', image }];
    const source: AsyncIterable<{ id: string; image: typeof image }> = {
      [Symbol.asyncIterator]: () => ({
        next: () => {
          const value = items.shift();
          return value ? Promise.resolve({ value }) : new Promise(() => {});
        },
        return: async () => {
          closed = true;
          return { done: true, value: undefined };
        },
      }),
    };
    await assert.rejects(
      async () => {
        for await (const _ of client.embedStream(source)) assert.fail('an answer');
      },
      { code: 'FAILED_PRECONDITION', message: 'enough' },
    );
    await until(() => closed);
  });

  test('that is none, or has an item that is none, is INVALID_ARGUMENT, and is closed', async (t) => {
    const client = await start(t, { EmbedStream: echo });
    let closed = false;
    async function* bad() {
      try {
        yield null;
      } finally {
        closed = true;
      }
    }
    for (const items of [5, bad(), [{ id: '0' }]]) {
      await assert.rejects(
        async () => {
          for await (const _ of client.embedStream(items as unknown as [])) assert.fail('an answer');
        },
        { code: 'INVALID_ARGUMENT' },
        String(items),
      );
    }
    assert.ok(closed);
  });
});

describe('onPhases', () => {
  test('is called once for a call that is repeated, with the phases of the last attempt', async (t) => {
    let attempts = 0;
    const client = await start(t, {
      Embed: (call, done) => {
        attempts++;
        if (attempts === 1) {
          call.sendMetadata(new Metadata());
          // The response has begun when its connection is cut.
          setTimeout(() => {
            let inner = call as unknown as {
              stream?: { session: { destroy(): void } };
              call?: never;
              nextCall?: never;
            };
            while (inner.stream === undefined) inner = (inner.nextCall ?? inner.call)!;
            inner.stream.session.destroy();
          }, 50);
          return;
        }
        const trailer = new Metadata();
        trailer.set('vicregl-phase-inference-ms', '7');
        done(null, answer, trailer);
      },
    });
    const seen: Phases[] = [];
    await client.embed(image, { onPhases: (phases) => seen.push(phases) });
    assert.equal(attempts, 2);
    assert.deepEqual(seen, [{ inference: 7 }]);
  });

  test('rejects the call if it throws', async (t) => {
    const client = await start(t);
    const onPhases = () => {
      throw new Error('mine');
    };
    await assert.rejects(client.embed(image, { onPhases }), { name: 'VicreglError', message: 'mine' });
  });
});

test('many calls share one listener of their signal, which is removed after the last', async (t) => {
  const waiting: (() => void)[] = [];
  const client = await start(t, { Embed: (_, done) => waiting.push(() => done(null, answer)) });
  const { signal } = new AbortController();
  const calls = Array.from({ length: 30 }, () => client.embed(image, { signal }));
  await until(() => waiting.length === 30);
  assert.equal(getEventListeners(signal, 'abort').length, 1);
  for (const end of waiting) end();
  await Promise.all(calls);
  assert.equal(getEventListeners(signal, 'abort').length, 0);
});

test('an option of an item that is undefined leaves that of the call', async (t) => {
  const asked: unknown[] = [];
  const client = await start(t, {
    EmbedStream: (call) => {
      call.on('data', ({ id, request }: { id: string; request?: { dtype: string } }) => {
        asked.push(request?.dtype);
        call.write({ id, response: answer });
      });
      call.on('end', () => call.end());
    },
  });
  const item = { id: '0', image, dtype: undefined } as unknown as { id: string; image: typeof image };
  for await (const { status: how } of client.embedStream([item], { dtype: 'float16' })) assert.equal(how, 'fulfilled');
  assert.deepEqual(asked, ['DATA_TYPE_FLOAT16']);
});
