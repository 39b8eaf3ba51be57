import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '@grpc/grpc-js';
import { VicreglError } from './vicreglError.js';

test('a gRPC error keeps its status and its details', () => {
  const cause = Object.assign(new Error('3 INVALID_ARGUMENT: bad'), { code: status.INVALID_ARGUMENT, details: 'bad' });
  const error = VicreglError.from(cause);
  assert.equal(error.code, 'INVALID_ARGUMENT');
  assert.equal(error.message, 'bad');
  assert.equal(error.cause, cause);
  assert.equal(VicreglError.from(error), error);
});

test('aborts are CANCELLED, the rest is UNKNOWN', () => {
  assert.equal(VicreglError.from(new DOMException('stop', 'AbortError')).code, 'CANCELLED');
  assert.equal(VicreglError.from(new Error('odd')).code, 'UNKNOWN');
  assert.equal(VicreglError.from('text').message, 'text');
});
