import assert from 'node:assert/strict';
import { once } from 'node:events';
import { type ClientHttp2Session, connect, type ServerHttp2Session, type ServerHttp2Stream } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { describe, type TestContext, test } from 'node:test';
import {
  type handleBidiStreamingCall,
  type handleUnaryCall,
  Metadata,
  Server,
  ServerCredentials,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  status,
} from '@grpc/grpc-js';
import { rawCall } from '../../../test/support/rawCall.js';
import { callFields, connectRaw, FRAME, frame, headerBlock, headers } from '../../../test/support/rawFrames.js';
import { until } from '../../../test/support/until.js';
import {
  dropConnections,
  dropIncoming,
  endedWithSession,
  http2ServersOf,
  interceptOwnStatus,
  isProtocolError,
  isWithinMessage,
  joinSmallParts,
  readOneAhead,
  sentStatus,
  setHttp2Options,
  socketCounts,
  streamUnder,
  wasDropped,
  writeInSlices,
} from './grpcInternals.js';

/** The contract with grpc-js and Node's http2: each test names the behaviour that is lost if an upgrade breaks it. */

const bytes = (buffer: Buffer): Buffer => buffer;
const method = (name: string, streams: boolean) => ({
  path: `/test.Service/${name}`,
  requestStream: streams,
  responseStream: streams,
  requestSerialize: bytes,
  requestDeserialize: bytes,
  responseSerialize: bytes,
  responseDeserialize: bytes,
});

interface Handlers {
  readonly unary?: handleUnaryCall<Buffer, Buffer>;
  readonly bidi?: handleBidiStreamingCall<Buffer, Buffer>;
}

/** A gRPC server with one method of each kind, and an HTTP/2 client of it. */
async function start(
  t: TestContext,
  { unary = (_, reply) => reply(null, Buffer.alloc(1)), bidi = (stream) => stream.resume() }: Handlers = {},
  onCall: (call: ServerInterceptingCallInterface) => void = () => {},
): Promise<{ readonly server: Server; readonly session: ClientHttp2Session }> {
  const interceptor: ServerInterceptor = (_, call) => {
    onCall(call);
    return new ServerInterceptingCall(call);
  };
  const server = new Server({ interceptors: [interceptor], 'grpc.max_receive_message_length': 100_000 });
  setHttp2Options(server, { settings: { maxHeaderListSize: 12_345 } });
  server.addService({ Unary: method('Unary', false), Bidi: method('Bidi', true) }, { Unary: unary, Bidi: bidi });
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  );
  const session = connect(`http://127.0.0.1:${port}`);
  session.on('error', () => {});
  t.after(() => {
    session.destroy();
    server.forceShutdown();
  });
  return { server, session };
}

/** The first call that arrives. */
async function untilCall(calls: readonly ServerInterceptingCallInterface[]): Promise<ServerInterceptingCallInterface> {
  await until(() => calls.length > 0);
  return calls[0]!;
}

/** The gRPC status of an answer, from its headers or trailers. */
async function statusOf(call: ReturnType<typeof rawCall>): Promise<number> {
  const found = new Promise<number>((resolve) => {
    for (const event of ['response', 'trailers']) {
      call.on(event, (fields: Record<string, unknown>) => {
        if (fields['grpc-status'] !== undefined) resolve(Number(fields['grpc-status']));
      });
    }
  });
  call.resume();
  return found;
}

describe('private parts of grpc-js in use', () => {
  test('options of its HTTP/2 servers: without them, no limit of metadata is announced', async (t) => {
    const { session } = await start(t);
    const [settings] = (await once(session, 'remoteSettings')) as [{ maxHeaderListSize: number }];
    assert.equal(settings.maxHeaderListSize, 12_345);
  });

  test('its HTTP/2 servers: without them, broken connections and uncounted calls are not noticed', async (t) => {
    const { server, session } = await start(t);
    const [http2Server] = http2ServersOf(server);
    assert.ok(http2Server);
    const seen = once(http2Server, 'stream');
    rawCall(session, '/test.Service/Unary', [Buffer.alloc(1)]).end();
    const [, fields] = await seen;
    assert.equal(fields[':path'], '/test.Service/Unary');
  });

  test('its connections: without them, the calls of a forced shutdown end as CANCELLED at their callers, who do not retry', async (t) => {
    const { server, session } = await start(t);
    const opened = once(http2ServersOf(server)[0]!, 'stream') as Promise<[ServerHttp2Stream]>;
    const call = rawCall(session, '/test.Service/Bidi', [Buffer.alloc(1)]);
    call.on('error', () => {});
    const [stream] = await opened;
    const { session: serverSession } = stream;
    assert.equal(wasDropped(serverSession), false);
    const ended = once(stream, 'close');
    dropConnections(server);
    assert.equal(wasDropped(serverSession), true);
    await ended;
    await until(() => session.destroyed);
  });

  test('a release without these fields fails at the start', () => {
    const changed = {} as Server;
    assert.throws(() => setHttp2Options(changed, {}), /grpc-js no longer has commonServerOptions/);
    assert.throws(() => http2ServersOf(changed), /grpc-js no longer has http2Servers/);
  });

  test("a call's HTTP/2 stream and the status that it sent: without them, answers that were not sent count as OK", async (t) => {
    const streams: ReturnType<typeof streamUnder>[] = [];
    const { session } = await start(t, {}, (call) => streams.push(streamUnder(call)));
    const call = rawCall(session, '/test.Service/Unary', [Buffer.alloc(1)]);
    call.end();
    assert.equal(await statusOf(call), status.OK);
    assert.equal(streams[0]?.id, call.id);
    assert.deepEqual(sentStatus(streams[0]!), { code: status.OK, alone: false });
  });

  test('a status that is sent without messages is in the headers', async (t) => {
    const streams: ReturnType<typeof streamUnder>[] = [];
    const unary: Handlers['unary'] = (_, reply) => reply({ code: status.NOT_FOUND, details: 'none' });
    const { session } = await start(t, { unary }, (call) => streams.push(streamUnder(call)));
    const call = rawCall(session, '/test.Service/Unary', [Buffer.alloc(1)]);
    call.end();
    assert.equal(await statusOf(call), status.NOT_FOUND);
    assert.deepEqual(sentStatus(streams[0]!), { code: status.NOT_FOUND, alone: true });
  });

  test('the state of its message reader: without it, a message that ends in its middle is answered', async (t) => {
    const calls: ServerInterceptingCallInterface[] = [];
    const { session } = await start(t, {}, (call) => calls.push(call));
    const call = rawCall(session, '/test.Service/Bidi', [Buffer.alloc(3)]);
    await until(() => calls.length === 1 && streamUnder(calls[0]!)!.readableLength === 0);
    assert.equal(isWithinMessage(calls[0]!), false);
    call.write(Buffer.from([0, 0, 0, 0, 3, 1]));
    await until(() => isWithinMessage(calls[0]!));
    call.write(Buffer.from([2, 3]));
    await until(() => !isWithinMessage(calls[0]!));
  });

  test('the parts of a message: without them, a caller of frames of one byte decides how much memory they take', async (t) => {
    const got: Buffer[] = [];
    const calls: ServerInterceptingCallInterface[] = [];
    const { server } = await start(
      t,
      { bidi: (stream) => stream.on('data', (message: Buffer) => got.push(message)) },
      (call) => {
        calls.push(call);
        joinSmallParts(call);
      },
    );
    const [http2Server] = http2ServersOf(server);
    const client = await connectRaw(`127.0.0.1:${(http2Server!.address() as AddressInfo).port}`);
    t.after(() => client.socket.destroy());
    client.send(headers(1, callFields('/test.Service/Bidi')));
    const message = Buffer.from(Uint8Array.from({ length: 30_000 }, (_, i) => (i * 7919) % 251));
    const large = Buffer.alloc(99_000, 9);
    const head = (length: number): Buffer => Buffer.from([0, 0, length >> 16, (length >> 8) & 255, length & 255]);
    const single = [...message].map((byte) => frame(FRAME.data, 0, 1, Buffer.from([byte])));
    client.send(frame(FRAME.data, 0, 1, head(message.length)), ...single.slice(0, -1));
    const { decoder } = (await untilCall(calls)) as unknown as {
      readonly decoder: { readonly readPartialMessage: Buffer[]; readonly readMessageRemaining: number };
    };
    await until(() => decoder.readMessageRemaining === 1);
    assert.ok(decoder.readPartialMessage.length <= 128, `${decoder.readPartialMessage.length} parts`);
    client.send(single.at(-1)!);
    await until(() => got.length === 1);
    // The next message has parts of its own: some small ones, and large ones.
    const rest = Array.from({ length: 10 }, (_, i) => large.subarray(300 + i * 9870, 300 + (i + 1) * 9870));
    client.send(
      frame(FRAME.data, 0, 1, head(large.length)),
      ...Array.from({ length: 300 }, () => frame(FRAME.data, 0, 1, Buffer.from([9]))),
    );
    // One by one, since the window of the connection is 64 KiB at first.
    for (const part of rest) {
      const left = decoder.readMessageRemaining;
      client.send(frame(FRAME.data, 0, 1, part));
      await until(() => got.length === 2 || decoder.readMessageRemaining !== left);
    }
    await until(() => got.length === 2);
    assert.ok(got[0]!.equals(message));
    assert.ok(got[1]!.equals(large));
  });

  test('its writes: without them, a caller that reads a large answer slowly looks like one that has stopped', async (t) => {
    const answer = Buffer.from(Uint8Array.from({ length: 25_000 }, (_, i) => (i * 7919) % 251));
    const taken: number[] = [];
    const { session } = await start(t, { unary: (_, reply) => reply(null, answer) }, (call) =>
      writeInSlices(streamUnder(call)!, 10_000, () => taken.push(10_000)),
    );
    const call = rawCall(session, '/test.Service/Unary', [Buffer.alloc(1)]);
    call.end();
    const parts: Buffer[] = [];
    call.on('data', (data: Buffer) => parts.push(data));
    assert.equal(await statusOf(call), status.OK);
    // Before it are a byte and the length.
    assert.ok(Buffer.concat(parts).subarray(5).equals(answer));
    assert.deepEqual(taken, [10_000, 10_000]);
  });

  test('a status that does not wait for a message in slices ends it between two of them', async (t) => {
    const calls: ServerInterceptingCallInterface[] = [];
    const { session } = await start(t, { unary: (_, reply) => reply(null, Buffer.alloc(1_000_000)) }, (call) => {
      calls.push(call);
      writeInSlices(streamUnder(call)!, 10_000, () => {});
    });
    const call = rawCall(session, '/test.Service/Unary', [Buffer.alloc(1)]);
    call.end();
    // More than the window of the stream is not sent.
    await once(call, 'response');
    (await untilCall(calls)).sendStatus({ code: status.DEADLINE_EXCEEDED, details: 'late', metadata: new Metadata() });
    let bytes = 0;
    call.on('data', (data: Buffer) => {
      bytes += data.byteLength;
    });
    assert.equal(await statusOf(call), status.DEADLINE_EXCEEDED);
    assert.ok(bytes < 100_000, `${bytes} bytes`);
  });

  test("its own statuses: without them, a message that is too large ends a stream without the service's details", async (t) => {
    const seen: [number, string][] = [];
    const { session } = await start(t, {}, (call) =>
      interceptOwnStatus(call, (code, details) => {
        seen.push([code, details]);
        dropIncoming(streamUnder(call)!);
        call.sendStatus({ code: status.ABORTED, details: 'ours', metadata: new Metadata() });
        return true;
      }),
    );
    const call = rawCall(session, '/test.Service/Bidi', [Buffer.alloc(100_001), Buffer.alloc(100_001)]);
    assert.equal(await statusOf(call), status.ABORTED);
    assert.equal(seen.length, 1, 'what else arrives is dropped');
    assert.equal(seen[0]![0], status.RESOURCE_EXHAUSTED);
    assert.match(seen[0]![1], /100001 vs\. 100000|larger/);
  });

  test('its read-ahead: without it, a stream holds 16 messages before the first is answered', async (t) => {
    const lengths = async (limited: boolean): Promise<number> => {
      let stream: Parameters<NonNullable<Handlers['bidi']>>[0] | undefined;
      const bidi: Handlers['bidi'] = (opened) => {
        stream = opened;
        if (limited) readOneAhead(opened);
        opened.once('readable', () => {});
      };
      const { session } = await start(t, { bidi });
      const messages = Array.from({ length: 20 }, () => Buffer.alloc(10));
      rawCall(session, '/test.Service/Bidi', messages);
      await until(() => stream !== undefined && stream.readableLength > 0);
      await once(session.request({ ':path': '/none', ':method': 'POST' }).resume().end(), 'close');
      return stream!.readableLength;
    };
    assert.equal(await lengths(false), 16);
    assert.ok((await lengths(true)) <= 2);
  });
});

describe("private parts of Node's http2 in use", () => {
  test('the counts of a socket: without them, connections that nghttp2 has abandoned stay open', async (t) => {
    const { server, session } = await start(t);
    const [http2Server] = http2ServersOf(server);
    const opened = once(http2Server!, 'session') as Promise<[ServerHttp2Session]>;
    const call = rawCall(session, '/test.Service/Unary', [Buffer.alloc(1000)]);
    call.end();
    const [serverSession] = await opened;
    await statusOf(call);
    const counts = socketCounts(serverSession);
    assert.ok(counts && counts.bytesRead > 1000 && counts.bytesWritten > 0);
    assert.equal(counts.writeQueueSize, 0);
  });

  test('the errors of a session and its streams: without them, calls of a broken connection count as cancelled', async (t) => {
    const { server } = await start(t);
    const [http2Server] = http2ServersOf(server);
    const failed = new Promise<NodeJS.ErrnoException>((resolve) => {
      http2Server!.on('session', (each: ServerHttp2Session) => each.once('error', resolve));
    });
    const opened = once(http2Server!, 'stream') as Promise<[ServerHttp2Stream]>;
    const client = await connectRaw(`127.0.0.1:${(http2Server!.address() as AddressInfo).port}`);
    t.after(() => client.socket.destroy());
    client.send(headers(1, callFields('/test.Service/Bidi')));
    const [stream] = await opened;
    assert.equal(endedWithSession(stream), false);
    const { session: serverSession } = stream;
    // One of the few errors of which Node is notified.
    const continuation = frame(FRAME.continuation, 0, 3, headerBlock([['x', 'a']]));
    client.send(frame(FRAME.headers, 0, 3, headerBlock(callFields('/none'))), ...Array(100).fill(continuation));
    assert.equal(isProtocolError(await failed), true);
    await until(() => stream.destroyed);
    assert.equal(endedWithSession(stream), true);
    assert.equal(wasDropped(serverSession), false);
    assert.equal(isProtocolError(Object.assign(new Error('reset'), { code: 'ECONNRESET' })), false);
  });
});
