import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Command } from 'commander';
import { defaultServeLimits } from '../serve/limits.js';
import { addLimitFlags, type LimitFlags, serveLimits } from './limitFlags.js';

function parse(...args: string[]) {
  const command = addLimitFlags(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => {} });
  return serveLimits(command.parse(args, { from: 'user' }).opts<LimitFlags>());
}

test('without flags the limits are the defaults', () => {
  assert.deepEqual(parse(), defaultServeLimits);
});

test('each flag changes its limits, and those that depend on it', () => {
  const { maxMessageBytes, requestBytes } = parse('--max-message-bytes', '1000000000');
  assert.deepEqual([maxMessageBytes, requestBytes], [1e9, 2e9]);
  assert.equal(parse('--max-message-bytes', '1048576').requestBytes, defaultServeLimits.requestBytes);
  assert.equal(parse('--queue-images', '32').queueImages, 32);
  const { batchImages, batchPixels } = parse('--max-batch', '4');
  assert.deepEqual([batchImages, batchPixels], [4, 4 * 224 * 224]);
});

test('what is no whole number within bounds is refused with the bounds', () => {
  for (const wrong of ['0', '-1', '1.5', 'many', '', '1025']) {
    assert.throws(() => parse(`--max-batch=${wrong}`), /It must be a whole number between 1 and 1024/);
  }
  assert.throws(() => parse('--max-message-bytes', '4294967296'), /between 1024 and 2147483647/);
});
