import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { bootstrapInterval } from './bootstrap.js';

test('the interval of a mean agrees with the normal one', () => {
  const random = stream(1);
  const values = Array.from({ length: 200 }, () => 3 + 2 * random.normal());
  const mean = values.reduce((a, b) => a + b) / values.length;
  const deviation = Math.sqrt(values.reduce((sum, value) => sum + (value - mean) ** 2, 0) / values.length);
  const half = (1.96 * deviation) / Math.sqrt(values.length);
  const [lower, upper] = bootstrapInterval(values);
  assert.ok(Math.abs(lower - (mean - half)) < 0.15 * half, `${lower} against ${mean - half}`);
  assert.ok(Math.abs(upper - (mean + half)) < 0.15 * half, `${upper} against ${mean + half}`);
});

test('the interval of equal values has no width, and equal seeds give equal intervals', () => {
  assert.deepEqual(bootstrapInterval([0.5, 0.5, 0.5]), [0.5, 0.5]);
  const random = stream(4);
  const values = Array.from({ length: 20 }, () => random.normal());
  assert.deepEqual(bootstrapInterval(values, { seed: 1 }), bootstrapInterval(values, { seed: 1 }));
  assert.notDeepEqual(bootstrapInterval(values, { seed: 1 }), bootstrapInterval(values, { seed: 2 }));
});

test('bad input is an error that names it', () => {
  assert.throws(() => bootstrapInterval([]), /at least two values, not 0/);
  assert.throws(() => bootstrapInterval([1]), /at least two values, not 1/);
  assert.throws(() => bootstrapInterval([1, 2], { resamples: 0 }), /resamples is 0/);
  assert.throws(() => bootstrapInterval([1, 2], { confidence: 95 }), /confidence is 95/);
});
