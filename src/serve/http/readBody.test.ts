import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { PassThrough, Readable } from 'node:stream';
import { test } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { createByteBudget } from '../admission/byteBudget.js';
import { readBody } from './readBody.js';

const KiB = 1024;
const { signal } = new AbortController();

/** A request whose body arrives in the given chunks. */
function requestOf(chunks: Iterable<Buffer>, headers: Record<string, string> = {}): IncomingMessage {
  return Object.assign(Readable.from(chunks, { objectMode: false }), { headers }) as unknown as IncomingMessage;
}

function* single(bytes: Buffer): Generator<Buffer> {
  for (let i = 0; i < bytes.length; i++) yield bytes.subarray(i, i + 1);
}

/** Reads a body. @returns also the bytes of each permit */
function read(
  chunks: Iterable<Buffer>,
  headers?: Record<string, string>,
  maxMessageBytes = 256 * KiB,
  limit = 1024 * KiB,
) {
  const budget = createByteBudget('requestBytes', limit);
  const acquired: number[] = [];
  const counting = {
    tryAcquire(bytes: number) {
      acquired.push(bytes);
      return budget.tryAcquire(bytes);
    },
  };
  const limits = { maxMessageBytes, receiveSeconds: 60 };
  const body = readBody(requestOf(chunks, headers), { limits, budget: counting, signal });
  return { body, acquired, budget };
}

const sent = Buffer.from(Uint8Array.from({ length: 130 * KiB }, (_, i) => (i * 7919) % 251));

test('a body in chunks of one byte is held in few blocks, whether its length is announced or not', async () => {
  for (const [headers, expected] of [
    [{}, [4, 4, 8, 16, 32, 64, 64]],
    // First it is asked whether the whole body would fit.
    [{ 'content-length': String(sent.length) }, [130, 4, 4, 8, 16, 32, 64, 2]],
  ] as const) {
    const { body, acquired, budget } = read(single(sent), headers);
    const held = await body;
    assert.ok(held.bytes.equals(sent));
    assert.deepEqual(
      acquired,
      expected.map((each) => each * KiB),
    );
    assert.equal(budget.held, ('content-length' in headers ? 130 : 192) * KiB);
    held.release();
    assert.deepEqual([budget.held, held.bytes.length], [0, 0]);
  }
});

test('chunks are copied, since each may hold a block of the socket', async () => {
  const block = Buffer.alloc(64 * KiB, 7);
  const { bytes } = await read([block.subarray(0, 10)]).body;
  assert.deepEqual([bytes.length, bytes[9]], [10, 7]);
  assert.notEqual(bytes.buffer, block.buffer);
});

test('a body up to the limit fits into a budget of the same size, and one byte more is refused', async () => {
  const limit = 100 * KiB;
  const whole = sent.subarray(0, limit);
  const { body, acquired, budget } = read([whole.subarray(0, 70_000), whole.subarray(70_000)], {}, limit, limit);
  assert.ok((await body).bytes.equals(whole));
  assert.deepEqual(acquired, [64 * KiB, 36 * KiB]);
  assert.equal(budget.held, limit);
  const larger = read([whole, Buffer.alloc(1)], {}, limit, limit);
  await assert.rejects(larger.body, { code: 'too_large', message: /more than 102400 bytes/ });
  assert.equal(larger.budget.held, 0);
});

test('a header that announces a body holds nothing, and the body at most twice what has arrived', async () => {
  const budget = createByteBudget('requestBytes', 1024 * KiB);
  const limits = { maxMessageBytes: 1024 * KiB, receiveSeconds: 60 };
  const sockets = Array.from({ length: 8 }, () => new PassThrough());
  const bodies = sockets.map((socket) => {
    const headers = { 'content-length': String(1024 * KiB) };
    return readBody(Object.assign(socket, { headers }) as never, { limits, budget, signal });
  });
  assert.equal(budget.held, 0);
  const other = read([sent], { 'content-length': String(sent.length) });
  assert.ok((await other.body).bytes.equals(sent));
  for (const socket of sockets) socket.write(Buffer.alloc(1));
  await setImmediate();
  assert.equal(budget.held, 8 * 4 * KiB);
  const [first, ...rest] = sockets;
  let arrived = 1;
  for (; arrived <= 512 * KiB; arrived += 32 * KiB) {
    first!.write(Buffer.alloc(32 * KiB));
    await setImmediate();
    assert.ok(budget.held - 7 * 4 * KiB <= 2 * (arrived + 32 * KiB), `${budget.held} bytes after ${arrived}`);
  }
  for (const socket of rest) socket.destroy();
  for (const body of bodies.slice(1)) await assert.rejects(body, { code: 'cancelled' });
  first!.end(Buffer.alloc(1024 * KiB - arrived));
  const held = await bodies[0]!;
  assert.deepEqual([held.bytes.length, budget.held], [1024 * KiB, 1024 * KiB]);
  held.release();
  assert.equal(budget.held, 0);
});

test('an announced body that does not fit beside what is held is refused before it is read', async () => {
  const budget = createByteBudget('requestBytes', 256 * KiB);
  budget.tryAcquire(128 * KiB);
  const request = requestOf([sent], { 'content-length': String(sent.length) });
  const limits = { maxMessageBytes: 256 * KiB, receiveSeconds: 60 };
  await assert.rejects(readBody(request, { limits, budget, signal }), { code: 'overloaded' });
  assert.deepEqual([budget.held, request.readableDidRead], [128 * KiB, false]);
});

test('of bodies that arrive at the same time and do not all fit, the surplus is refused and the others go on', async () => {
  const budget = createByteBudget('requestBytes', 400 * KiB);
  const limits = { maxMessageBytes: 200 * KiB, receiveSeconds: 60 };
  const bodies = Array.from({ length: 6 }, () =>
    readBody(
      requestOf(
        Array.from({ length: 13 }, (_, i) => sent.subarray(i * 10 * KiB, (i + 1) * 10 * KiB)),
        { 'content-length': String(sent.length) },
      ),
      { limits, budget, signal },
    ),
  );
  const results = await Promise.allSettled(bodies);
  const codes = results.map((result) => (result.status === 'fulfilled' ? 'read' : result.reason.code));
  assert.deepEqual(codes.toSorted(), [...new Array(3).fill('overloaded'), ...new Array(3).fill('read')]);
  assert.equal(budget.held, 3 * 130 * KiB);
});

test('an empty body, and one that exceeds the budget of all requests', async () => {
  assert.equal((await read([]).body).bytes.length, 0);
  const other = read([sent], {}, 256 * KiB, 128 * KiB);
  await assert.rejects(other.body, { code: 'overloaded' });
  assert.equal(other.budget.held, 0);
});
