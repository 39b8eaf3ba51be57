import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stream } from '../../tensor/random.js';
import { Histogram } from './histogram.js';
import { activationScale, quantiseWeight } from './integers.js';
import { chooseRange } from './ranges.js';

describe('Histogram', () => {
  it('counts every element in its bin, in any order of input', () => {
    const random = stream(1, 'elements');
    const elements = Float32Array.from({ length: 5000 }, (_, i) => random.normal() * (i % 7 === 0 ? 100 : 0.1));
    const [whole, parts] = [new Histogram(), new Histogram()];
    whole.add(elements);
    for (let at = 0; at < elements.length; at += 100) parts.add(elements.subarray(at, at + 100));
    assert.deepEqual(parts.bins(), whole.bins());
    assert.deepEqual(parts.range, [Math.min(...elements), Math.max(...elements)]);
    assert.equal(
      whole.bins().reduce((sum, { count }) => sum + count, 0),
      5000,
    );
    const [first, second] = whole.bins();
    const width = second!.centre - first!.centre;
    const near = (element: number) => whole.bins().some(({ centre }) => Math.abs(centre - element) <= width);
    assert.ok(elements.every(near));
  });

  it('counts an element at a power of two, where the limit doubles', () => {
    const histogram = new Histogram();
    histogram.add(Float32Array.of(1, -1, 0.5));
    assert.deepEqual(histogram.range, [-1, 1]);
    assert.equal(histogram.bins().length, 3);
  });
});

describe('Histogram of elements that are not finite', () => {
  it('rejects them by value', () => {
    for (const value of [Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN]) {
      assert.throws(() => new Histogram().add(Float32Array.of(1, value)), {
        name: 'RangeError',
        message: `an element is ${value}`,
      });
    }
  });
});

describe('chooseRange', () => {
  const withOutlier = new Histogram();
  const random = stream(2, 'outlier');
  withOutlier.add(Float32Array.from({ length: 300_000 }, (_, i) => (i === 0 ? 50 : random.uniform(-1, 1))));

  it('minmax covers all values, percentile excludes a single outlier', () => {
    assert.equal(chooseRange(withOutlier, 'minmax')[1], 50);
    const [low, high] = chooseRange(withOutlier, 'percentile');
    assert.ok(high > 0.9 && high < 1.1 && low < -0.9 && low > -1.1, `${low}..${high}`);
  });

  it('percentile leaves out one element of 100,000 at each end, and no more', () => {
    const with50 = (count: number) => {
      const histogram = new Histogram();
      histogram.add(Float32Array.from({ length: 400_000 }, (_, i) => (i < count ? 50 : i % 2)));
      return chooseRange(histogram, 'percentile')[1];
    };
    assert.ok(with50(4) < 1.1, `${with50(4)}`);
    assert.ok(with50(5) > 49, `${with50(5)}`);
  });

  it('always contains 0', () => {
    const positive = new Histogram();
    positive.add(Float32Array.of(3, 4));
    assert.deepEqual(chooseRange(positive, 'minmax'), [0, 4]);
  });
});

describe('integers', () => {
  it('an activation range maps to 0..255 with an exact zero', () => {
    const { scale, zeroPoint } = activationScale([-1, 3]);
    assert.deepEqual([zeroPoint, scale], [64, Math.fround(4 / 255)]);
    assert.deepEqual(activationScale([0, 2]).zeroPoint, 0);
    assert.deepEqual(activationScale([0, 0]), { scale: 1, zeroPoint: 0 });
  });

  it('a weight is quantised symmetrically with one scale for each output, within half a step', () => {
    const weight = Float32Array.of(1, 0.01, -0.5, 0.02, 0.25, 0);
    const { integers, scales } = quantiseWeight(weight, 2, (at) => at % 2);
    assert.deepEqual([integers[0], integers[3]], [64, 64]);
    weight.forEach((value, at) => {
      const scale = scales[at % 2]!;
      assert.ok(Math.abs(integers[at]! * scale - value) <= scale / 2 + 1e-9);
    });
    assert.deepEqual([...quantiseWeight(new Float32Array(2), 1, () => 0).scales], [1]);
  });

  it('a weight that is small beside its bias gets a scale in which the bias fits into 32 bits', () => {
    const bias = Float32Array.of(0.7, -0.7, 0.7, 0);
    const inputScale = 0.01;
    const { scales, integers } = quantiseWeight(Float32Array.of(1e-9, 0, 1, 0), 4, (at) => at, { bias, inputScale });
    bias.forEach((value, i) => {
      assert.ok(Math.abs(value / (scales[i]! * inputScale)) <= 2 ** 30 * (1 + 1e-6), `${i}: ${scales[i]}`);
    });
    assert.deepEqual([integers[2], scales[2], scales[3]], [64, 1 / 64, 1]);
  });

  it('the sum of two products of weights and activations fits 16 bits, as processors without VNNI require', () => {
    const { integers } = quantiseWeight(Float32Array.of(-8, 8, 7.99, -7.99), 1, () => 0);
    const largest = Math.max(...integers.map(Math.abs));
    assert.ok(2 * 255 * largest <= 2 ** 15 - 1, `${largest}`);
    assert.ok(2 * 255 * (largest + 1) > 2 ** 15 - 1, 'all levels are used');
  });
});
