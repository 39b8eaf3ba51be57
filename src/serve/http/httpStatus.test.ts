import assert from 'node:assert/strict';
import { test } from 'node:test';
import { status } from '../../proto/status.js';
import { errorHeaders, httpStatus } from './httpStatus.js';

test('the time to wait is rounded up to whole seconds: a caller that keeps to it is not refused again', () => {
  const code = status.RESOURCE_EXHAUSTED;
  for (const [seconds, header] of [
    [0.05, '1'],
    [1, '1'],
    [1.9, '2'],
    [30, '30'],
  ] as const) {
    assert.deepEqual(errorHeaders({ code, retryAfterSeconds: seconds }), { 'retry-after': header });
  }
  assert.deepEqual(errorHeaders({ code }), {});
});

test('a caller without a valid token is told how to send one', () => {
  assert.deepEqual(errorHeaders({ code: status.UNAUTHENTICATED }), {
    'www-authenticate': 'Bearer',
  });
});

test('reasons for which HTTP has a status of its own have it, others that of their code', () => {
  const cases: [Parameters<typeof httpStatus>[0], number][] = [
    [{ code: status.RESOURCE_EXHAUSTED, reason: 'TOO_LARGE' }, 413],
    [{ code: status.RESOURCE_EXHAUSTED, reason: 'OVERLOADED' }, 429],
    [{ code: status.INVALID_ARGUMENT, reason: 'UNSUPPORTED_MEDIA_TYPE' }, 415],
    [{ code: status.INVALID_ARGUMENT, reason: 'INVALID_ARGUMENT' }, 400],
    [{ code: status.DEADLINE_EXCEEDED, reason: 'MESSAGE_LATE' }, 408],
    [{ code: status.DEADLINE_EXCEEDED, reason: 'DEADLINE_EXCEEDED' }, 504],
    [{ code: status.UNAVAILABLE, reason: 'SHUTTING_DOWN' }, 503],
    [{ code: status.CANCELLED, reason: 'CANCELLED' }, 499],
  ];
  for (const [error, expected] of cases) assert.equal(httpStatus(error), expected, error.reason);
});
