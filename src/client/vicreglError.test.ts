import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Metadata, status } from '@grpc/grpc-js';
import type { Status__Output } from '../proto/generated/google/rpc/Status.js';
import { encodeStatusDetails, statusDetailsKey, statusMessage } from '../proto/statusDetails.js';
import { VicreglError } from './vicreglError.js';

test('a gRPC error keeps its status and its details', () => {
  const cause = Object.assign(new Error('3 INVALID_ARGUMENT: bad'), { code: status.INVALID_ARGUMENT, details: 'bad' });
  const error = VicreglError.from(cause);
  assert.equal(error.code, 'INVALID_ARGUMENT');
  assert.equal(error.message, 'bad');
  assert.equal(error.cause, cause);
  assert.equal(VicreglError.from(error), error);
});

test('reason, limit and retry delay come from the trailing metadata, from an item, and from a local error', () => {
  const facts = { reason: 'OVERLOADED', limit: { name: 'queueImages', value: 256 }, retryAfterSeconds: 2.25 };
  const sent = { code: status.RESOURCE_EXHAUSTED, details: 'the queue is full', ...facts };
  const metadata = new Metadata();
  metadata.set(statusDetailsKey, encodeStatusDetails(sent));
  const { code, details } = sent;
  for (const error of [
    VicreglError.from({ code, details, metadata }),
    VicreglError.from(sent),
    VicreglError.fromStatus(statusMessage(sent) as unknown as Status__Output),
  ]) {
    const { reason, limit, retryAfterSeconds } = error;
    assert.deepEqual({ reason, limit, retryAfterSeconds }, facts);
  }
  assert.equal(VicreglError.from({ code, details }).retryAfterSeconds, undefined);
});

test('aborts are CANCELLED, and other errors UNKNOWN', () => {
  assert.equal(VicreglError.from(new DOMException('stop', 'AbortError')).code, 'CANCELLED');
  assert.equal(VicreglError.from(new Error('odd')).code, 'UNKNOWN');
  assert.equal(VicreglError.from('text').message, 'text');
});
