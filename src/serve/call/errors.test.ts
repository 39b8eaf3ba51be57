import assert from 'node:assert/strict';
import { test } from 'node:test';
import { EngineError } from '../../engine/engine.js';
import { ImageError } from '../../image/imageError.js';
import { MatchError } from '../../match/matchError.js';
import { status } from '../../proto/status.js';
import { toStatus } from './errors.js';
import { ServeError } from './serveError.js';

test('errors of each layer keep their reason and get its status', () => {
  assert.deepEqual(toStatus(new ImageError('corrupt', 'cut off')), {
    code: status.INVALID_ARGUMENT,
    details: 'cut off',
    reason: 'IMAGE_CORRUPT',
  });
  assert.equal(toStatus(new MatchError('bad_option', 'no')).code, status.INVALID_ARGUMENT);
  assert.equal(toStatus(new MatchError('not_finite', 'NaN of the model')).code, status.INTERNAL);
  assert.equal(toStatus(new EngineError('unavailable', 'gone')).code, status.UNAVAILABLE);
  assert.equal(toStatus(new ServeError('too_large', 'more')).code, status.RESOURCE_EXHAUSTED);
  assert.equal(toStatus(new ServeError('unknown_model', 'x')).code, status.NOT_FOUND);
});

test('reasons distinguish a temporary overload from work that never fits', () => {
  const limit = { name: 'queueImages', value: 256 };
  assert.deepEqual(toStatus(new ServeError('overloaded', 'full', { limit })), {
    code: status.RESOURCE_EXHAUSTED,
    details: 'full',
    reason: 'OVERLOADED',
    retryAfterSeconds: 1,
    limit,
  });
  const never = toStatus(new ServeError('too_large', 'too many cells'));
  assert.deepEqual([never.code, never.reason], [status.RESOURCE_EXHAUSTED, 'TOO_LARGE']);
  assert.equal(never.retryAfterSeconds, undefined);
  assert.equal(toStatus(new MatchError('bad_option', 'x')).reason, 'MATCH_BAD_OPTION');
  assert.equal(toStatus(new EngineError('unavailable', 'x')).reason, 'ENGINE_UNAVAILABLE');
  assert.equal(toStatus(new Error('x')).reason, 'INTERNAL');
});

test('other errors are INTERNAL without their text', () => {
  for (const thrown of [new TypeError('secret path'), 'text', undefined, null]) {
    const { code, details } = toStatus(thrown);
    assert.equal(code, status.INTERNAL);
    assert.doesNotMatch(details, /secret/);
  }
});

test('details are short enough for a header and never contain a lone surrogate', () => {
  const { details } = toStatus(new ImageError('corrupt', `\ud800${'x'.repeat(5000)}`));
  assert.ok(details.length < 1100);
  assert.doesNotThrow(() => encodeURI(details));
});
