import assert from 'node:assert/strict';
import { test } from 'node:test';
import { gzipSync } from 'node:zlib';
import { EngineError } from '../../src/engine/engine.js';
import { loadVicreglService, serviceName } from '../../src/proto/load.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createLogger } from '../../src/serve/operations/logger.js';
import { createServer } from '../../src/serve/server.js';
import { createHeldEngine } from '../support/heldEngine.js';
import {
  callFields,
  connectRaw,
  type Fields,
  FLAG,
  FRAME,
  type Frame,
  frame,
  headers,
  messageFrames,
  type RawConnection,
  reset,
} from '../support/rawFrames.js';
import { until } from '../support/until.js';

/** Every call that reaches the service is counted and logged once, with its final status, for all ways in which a call can end. */

const { Embed, EmbedStream, ExtractFeaturesChunked } = loadVicreglService().service;
const pixels = (value: number) => ({ width: 56, height: 56, rgb: Buffer.alloc(56 * 56 * 3, value) });
const POISON = 66;
const request = Embed.requestSerialize({ image: { raw: pixels(1) } });
const poisoned = Embed.requestSerialize({ image: { raw: pixels(POISON) } });
const unknownModel = Embed.requestSerialize({ image: { raw: pixels(1) }, model: 'none' });
const brokenImage = Embed.requestSerialize({ image: { encoded: Buffer.from('no picture') } });
const item = EmbedStream.requestSerialize({ id: 'one', request: { image: { raw: pixels(1) } } });
const map = ExtractFeaturesChunked.requestSerialize({ image: { raw: pixels(1) } });
const maxMessageBytes = 65_536;

const isEndOf = (stream: number) => (got: Frame) =>
  got.stream === stream && (got.type === FRAME.rst || (got.type === FRAME.headers && !!(got.flags & FLAG.endStream)));
const isDataOf = (stream: number) => (got: Frame) => got.stream === stream && got.type === FRAME.data;

/** The first bytes of a message of 1,000 bytes. */
const partOfAMessage = (stream: number, flags = 0): Buffer =>
  frame(FRAME.data, flags, stream, Buffer.from([0, 0, 0, 3, 0xe8, 1, 2, 3]));

/** A message with the compressed flag. */
const compressed = (stream: number, bytes: Buffer): Buffer => {
  const whole = messageFrames(stream, bytes);
  whole[9] = 1;
  return whole;
};

test('the counts over all status codes add up to the calls that reached the service', async (t) => {
  const held = createHeldEngine({
    failWith: ({ data }) => (data.includes(POISON) ? new EngineError('internal', 'poison') : undefined),
  });
  held.free();
  const lines: { readonly code?: string; readonly method?: string }[] = [];
  const server = await createServer({
    models: [{ engine: held.engine }],
    ...{ address: '127.0.0.1:0', metricsAddress: '127.0.0.1:0' },
    logger: createLogger('debug', { write: (line: string) => void lines.push(JSON.parse(line)) }),
    limits: { ...defaultServeLimits, maxMessageBytes },
    shutdown: { graceMs: 60_000 },
  });
  t.after(() => server.close(true));

  /** Expected counts by method and code. */
  const expected = new Map<string, number>();
  const expectEnd = (method: string, code: string): void => {
    const key = `${method} ${code}`;
    expected.set(key, (expected.get(key) ?? 0) + 1);
  };
  async function counted(): Promise<Map<string, number>> {
    const text = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    const found = text.matchAll(/^vicregl_requests_total\{method="(\w+)",code="(\w+)"\} (\d+)$/gm);
    return new Map([...found].map(([, method, code, count]) => [`${method} ${code}`, Number(count)]));
  }
  const sumOf = (counts: Map<string, number>): number => [...counts.values()].reduce((sum, each) => sum + each, 0);
  /** Waits until all calls are counted, and compares the counts with the expected ones. */
  async function allCounted(): Promise<void> {
    const reached = sumOf(expected);
    for (const end = Date.now() + 20_000; sumOf(await counted()) < reached && Date.now() < end; ) {
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const sorted = (counts: Map<string, number>) => Object.fromEntries([...counts].sort());
    assert.deepEqual(sorted(await counted()), sorted(expected));
    const logged = lines.filter(({ method, code }) => code !== undefined && method !== 'connection');
    assert.equal(logged.length, reached, 'each has one line in the log');
    const inFlight = await (await fetch(`http://${server.metricsAddress}/metrics`)).text();
    for (const [line, count] of inFlight.matchAll(/^vicregl_requests_in_flight\{.*\} (\d+)$/gm)) {
      assert.equal(count, '0', line);
    }
  }

  const path = (method: string): string => `/${serviceName}/${method}`;
  const connection = await connectRaw(server.address);
  let nextStream = 1;
  /** Opens a call by its headers. @returns its stream */
  function open(on: RawConnection, to: string, others: Fields = []): number {
    const stream = on === connection ? nextStream : 1;
    if (on === connection) nextStream += 2;
    on.send(headers(stream, callFields(to, others)));
    return stream;
  }
  /** Sends all frames of a call and waits for its end. */
  async function whole(method: string, code: string, frames: (stream: number) => Buffer, others: Fields = []) {
    expectEnd(method, code);
    const stream = open(connection, method.startsWith('/') ? method : path(method), others);
    connection.send(frames(stream));
    await connection.until(isEndOf(stream));
  }

  await t.test('calls that are answered or rejected because of their message', async () => {
    await whole('Embed', 'OK', (stream) => messageFrames(stream, request));
    await whole('Embed', 'OK', (stream) => compressed(stream, gzipSync(request)), [['grpc-encoding', 'gzip']]);
    await whole('GetModel', 'OK', (stream) => messageFrames(stream, Buffer.alloc(0)));
    await whole('Embed', 'INVALID_ARGUMENT', (stream) => messageFrames(stream, brokenImage));
    await whole('Embed', 'INVALID_ARGUMENT', (stream) => messageFrames(stream, Buffer.from('no message')));
    await whole('Embed', 'NOT_FOUND', (stream) => messageFrames(stream, unknownModel));
    await whole('Embed', 'INTERNAL', (stream) => messageFrames(stream, poisoned));
    await whole('EmbedStream', 'OK', (stream) => messageFrames(stream, item));
    await whole('EmbedStream', 'OK', (stream) => frame(FRAME.data, FLAG.endStream, stream));
    await whole('ExtractFeaturesChunked', 'OK', (stream) => messageFrames(stream, map));
    await allCounted();
  });

  await t.test('calls that are rejected before a message is read', async () => {
    const filler: Fields = [['x-filler', 'a'.repeat(20_000)]];
    await whole('Embed', 'RESOURCE_EXHAUSTED', (stream) => messageFrames(stream, request), filler);
    await whole('EmbedStream', 'RESOURCE_EXHAUSTED', (stream) => messageFrames(stream, item), filler);
    const none = (stream: number): Buffer => frame(FRAME.data, FLAG.endStream, stream);
    await whole('Embed', 'INVALID_ARGUMENT', none);
    await whole('Embed', 'INVALID_ARGUMENT', none, [['grpc-timeout', 'soon']]);
    for (const [to, method] of [
      [path('Nonsense'), 'unknown'],
      ['/another.v1.Service/Embed', 'unknown'],
    ] as const) {
      expectEnd(method, 'UNIMPLEMENTED');
      const stream = open(connection, to);
      connection.send(none(stream));
      await connection.until(isEndOf(stream));
    }
    for (const [to, method] of [
      [path('Embed'), 'Embed'],
      ['/', 'unknown'],
    ] as const) {
      expectEnd(method, 'NOT_GRPC');
      const stream = nextStream;
      nextStream += 2;
      const plain = callFields(to).filter(([name]) => name !== 'content-type');
      connection.send(headers(stream, [...plain, ['content-type', 'text/html']], true));
      await connection.until(isEndOf(stream));
    }
    await allCounted();
  });

  await t.test('calls whose messages are too large, incomplete, compressed in a wrong way or too many', async () => {
    const large = (stream: number): Buffer => messageFrames(stream, Buffer.alloc(maxMessageBytes + 1));
    const withPart = (stream: number): Buffer => partOfAMessage(stream, FLAG.endStream);
    for (const method of ['Embed', 'EmbedStream', 'ExtractFeaturesChunked']) {
      await whole(method, 'RESOURCE_EXHAUSTED', large);
      await whole(method, 'INVALID_ARGUMENT', withPart);
      await whole(method, 'UNIMPLEMENTED', (stream) => compressed(stream, request), [['grpc-encoding', 'br']]);
      await whole(method, 'INVALID_ARGUMENT', (stream) => compressed(stream, request), [['grpc-encoding', 'gzip']]);
    }
    await whole('Embed', 'INVALID_ARGUMENT', (stream) =>
      Buffer.concat([messageFrames(stream, request, false), messageFrames(stream, request)]),
    );
    await allCounted();
  });

  await t.test(
    'given up by its caller: before, in, or after its message, while it runs, when it is answered',
    async () => {
      for (const method of ['Embed', 'ExtractFeaturesChunked']) {
        for (const before of [() => Buffer.alloc(0), partOfAMessage, (s: number) => messageFrames(s, request, false)]) {
          expectEnd(method, 'NO_MESSAGE');
          const stream = open(connection, path(method));
          connection.send(before(stream), reset(stream));
        }
      }
      expectEnd('EmbedStream', 'CANCELLED');
      const idle = open(connection, path('EmbedStream'));
      connection.send(reset(idle));
      expectEnd('EmbedStream', 'CANCELLED');
      const within = open(connection, path('EmbedStream'));
      connection.send(partOfAMessage(within), reset(within));
      expectEnd('EmbedStream', 'CANCELLED');
      const answered = open(connection, path('EmbedStream'));
      connection.send(messageFrames(answered, item, false));
      await connection.until(isDataOf(answered));
      connection.send(reset(answered));
      await allCounted();
    },
  );

  await t.test('calls that end during inference, by cancellation, deadline or disconnection', async () => {
    held.hold();
    /** Starts a call on its own connection. */
    async function running(method: string, message: Buffer, others: Fields = []) {
      const own = await connectRaw(server.address);
      const stream = open(own, path(method), others);
      own.send(messageFrames(stream, message, method !== 'EmbedStream'));
      return { own, stream };
    }
    const gone: RawConnection[] = [];
    for (const [method, message] of [
      ['Embed', request],
      ['EmbedStream', item],
      ['ExtractFeaturesChunked', map],
    ] as const) {
      expectEnd(method, 'CANCELLED');
      const left = await running(method, message);
      expectEnd(method, 'CANCELLED');
      const destroyed = await running(method, message);
      expectEnd(method, 'DEADLINE_EXCEEDED');
      const late = await running(method, message, [['grpc-timeout', '300m']]);
      expectEnd(method, 'UNAVAILABLE');
      const broken = await running(method, message);
      // A client that closes its connection gracefully is answered.
      expectEnd(method, 'OK');
      const leaving = await running(method, message);
      if (method === 'EmbedStream') leaving.own.send(frame(FRAME.data, FLAG.endStream, leaving.stream));
      leaving.own.send(frame(FRAME.goaway, 0, 0, Buffer.alloc(8)));
      await late.own.until(isEndOf(late.stream));
      // All calls have started: the service answers a later one.
      for (const { own } of [left, destroyed, broken, leaving]) {
        own.send(frame(FRAME.ping, 0, 0, Buffer.from('have you')));
        await own.until(({ type, payload }) => type === FRAME.ping && payload.toString() === 'have you');
      }
      left.own.send(reset(left.stream));
      destroyed.own.socket.resetAndDestroy();
      broken.own.send(frame(FRAME.data, 0, 0, Buffer.alloc(4)));
      await broken.own.closed;
      gone.push(left.own, late.own, leaving.own);
    }
    expectEnd('Embed', 'DEADLINE_EXCEEDED');
    const messageless = open(connection, path('Embed'), [['grpc-timeout', '50m']]);
    await connection.until(isEndOf(messageless));
    held.free();
    await allCounted();
    for (const { socket } of gone) socket.destroy();
  });

  await t.test('calls of other services: health checks are not counted', async () => {
    const stream = open(connection, '/grpc.health.v1.Health/Check');
    connection.send(messageFrames(stream, Buffer.alloc(0)));
    assert.equal((await connection.until(isEndOf(stream))).type, FRAME.headers);
    await allCounted();
  });

  await t.test('calls in flight when the service shuts down', async () => {
    held.hold();
    const begun = held.nextRun();
    expectEnd('Embed', 'OK');
    const last = open(connection, path('Embed'));
    connection.send(messageFrames(last, request));
    await begun;
    expectEnd('EmbedStream', 'UNAVAILABLE');
    const stream = open(connection, path('EmbedStream'));
    connection.send(frame(FRAME.ping, 0, 0, Buffer.from('is it up')));
    await connection.until(({ type, payload }) => type === FRAME.ping && payload.toString() === 'is it up');
    const closing = server.close();
    await connection.until(isEndOf(stream));
    // The metrics are served until the last call has ended.
    await until(async () => (await counted()).has('EmbedStream UNAVAILABLE'));
    held.free();
    await connection.until(isEndOf(last));
    connection.socket.destroy();
    await closing;
    const logged = lines.filter(({ method, code }) => code !== undefined && method !== 'connection');
    assert.equal(logged.length, sumOf(expected));
    assert.deepEqual(
      logged.slice(-2).map(({ method, code }) => `${method} ${code}`),
      ['EmbedStream UNAVAILABLE', 'Embed OK'],
    );
  });
});
