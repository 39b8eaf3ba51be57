import assert from 'node:assert/strict';
import { test } from 'node:test';
import { stream } from '../tensor/random.js';
import { bootstrapInterval, percentileInterval } from './bootstrap.js';

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

test('the interval ends at the quantiles of the confidence, linear between neighbours, whatever the order', () => {
  const upTo = (last: number) => Float64Array.from({ length: last + 1 }, (_, i) => last - i);
  const cases: [Float64Array, number | undefined, [number, number]][] = [
    [upTo(1000), undefined, [25, 975]],
    [upTo(10), undefined, [0.25, 9.75]],
    [upTo(10), 0.5, [2.5, 7.5]],
    [Float64Array.of(7), undefined, [7, 7]],
    // Values for which the statistic does not exist are left out.
    [Float64Array.of(Number.NaN, ...upTo(10), Number.POSITIVE_INFINITY), 0.5, [2.5, 7.5]],
    [Float64Array.of(Number.NaN), undefined, [Number.NaN, Number.NaN]],
  ];
  for (const [values, confidence, expected] of cases) {
    const found = percentileInterval(values, confidence);
    for (const [i, right] of expected.entries()) {
      assert.ok(Object.is(found[i], right) || Math.abs(found[i]! - right) < 1e-9, `${found} instead of ${expected}`);
    }
  }
});

test('bad input is an error that names it', () => {
  assert.throws(() => bootstrapInterval([]), /at least two values, not 0/);
  assert.throws(() => bootstrapInterval([1]), /at least two values, not 1/);
  assert.throws(() => bootstrapInterval([1, 2], { resamples: 0 }), /resamples is 0/);
  assert.throws(() => bootstrapInterval([1, 2], { confidence: 95 }), /confidence is 95/);
});
