import assert from 'node:assert/strict';
import { test } from 'node:test';
import sharp from 'sharp';
import { decodeFailure } from './decodeFailure.js';

test('a timeout of sharp is too_large, anything else is corrupt', async () => {
  // Minutes of work, which no machine finishes in a second.
  const slow = sharp({ create: { width: 12_000, height: 12_000, channels: 3, background: 'red' } }).median(75);
  const timeout = await slow
    .timeout({ seconds: 1 })
    .raw()
    .toBuffer()
    .catch((error: unknown) => error);
  assert.ok(timeout instanceof Error, 'sharp ends it by an error');
  const { code, message } = decodeFailure('avif', timeout, 1);
  assert.equal(code, 'too_large');
  assert.match(message, /^image takes longer than 1 s to decode as avif \(decodeSeconds\); send a smaller one/);
  assert.equal(decodeFailure('jpeg', new Error('premature end\nmore'), 30).code, 'corrupt');
  assert.match(decodeFailure('jpeg', new Error('premature end\nmore'), 30).message, /as jpeg: premature end; check/);
});
