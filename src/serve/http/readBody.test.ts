import assert from 'node:assert/strict';
import type { IncomingMessage } from 'node:http';
import { Readable } from 'node:stream';
import { test } from 'node:test';
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
    [{}, [64 * KiB, 64 * KiB, 64 * KiB]],
    [{ 'content-length': String(sent.length) }, [sent.length]],
  ] as const) {
    const { body, acquired, budget } = read(single(sent), headers);
    const held = await body;
    assert.ok(held.bytes.equals(sent));
    assert.deepEqual(acquired, expected);
    assert.equal(
      budget.held,
      acquired.reduce((sum, bytes) => sum + bytes),
    );
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

test('an empty body, and one that exceeds the budget of all requests', async () => {
  assert.equal((await read([]).body).bytes.length, 0);
  const other = read([sent], {}, 256 * KiB, 128 * KiB);
  await assert.rejects(other.body, { code: 'overloaded' });
  assert.equal(other.budget.held, 0);
});
