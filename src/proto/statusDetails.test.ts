import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeFacts, encodeStatusDetails } from './statusDetails.js';

test('a reason comes back, and the limit and the wait where there are any', () => {
  const status = { code: 8, details: 'the queue is full', reason: 'OVERLOADED' };
  const plain = encodeStatusDetails(status);
  assert.deepEqual(decodeFacts(plain), { reason: 'OVERLOADED' });
  const limit = { name: 'queueImages', value: 256 };
  const retry = encodeStatusDetails({ ...status, limit, retryAfterSeconds: 2.25 });
  assert.deepEqual(decodeFacts(retry), { reason: 'OVERLOADED', limit, retryAfterSeconds: 2.25 });
  assert.ok(retry.includes('google.rpc.RetryInfo') && !plain.includes('RetryInfo'));
});

test('the bytes are those of google.rpc.Status', () => {
  // Fields 1 (code), 2 (message), 3 (Any) of Status; Any: type_url, then ErrorInfo with reason and domain.
  const bytes = encodeStatusDetails({ code: 3, details: 'no', reason: 'A_B' });
  const url = 'type.googleapis.com/google.rpc.ErrorInfo';
  const info = Buffer.from('\x0a\x03A_B\x12\x07vicregl');
  const any = Buffer.concat([
    Buffer.from([0x0a, url.length]),
    Buffer.from(url),
    Buffer.from([0x12, info.length]),
    info,
  ]);
  assert.deepEqual(bytes, Buffer.concat([Buffer.from('\x08\x03\x12\x02no\x1a'), Buffer.from([any.length]), any]));
});

test('bytes of anything else hold no reason', () => {
  assert.equal(decodeFacts(Buffer.from('nonsense')), undefined);
  assert.equal(decodeFacts(Buffer.alloc(0)), undefined);
});
