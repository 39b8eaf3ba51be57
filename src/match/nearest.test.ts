import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { stream } from '../tensor/random.js';
import { runSync } from '../tensor/slices.js';
import { nearestNeighbours, squaredDistance } from './nearest.js';

const values = (count: number, of: (i: number) => number) => Float32Array.from({ length: count }, (_, i) => of(i));

describe('nearestNeighbours', () => {
  it('tells an equal vector from one that differs in the last digits of a channel', () => {
    const channels = 2048;
    const random = stream(1, 'vectors');
    const a = values(channels, () => random.normal());
    const b = new Float32Array(2 * channels);
    b.set(a, 0);
    b[5] = b[5]! * (1 + 2 ** -22);
    b.set(a, channels);
    const { fromA, fromB } = runSync(nearestNeighbours({ a, b, channels }));
    assert.deepEqual([fromA.index[0], fromA.squared[0]], [1, 0]);
    assert.equal(fromA.secondSquared[0], (b[5]! - a[5]!) ** 2);
    assert.deepEqual([...fromB.squared], [fromA.secondSquared[0], 0]);
  });

  it('orders vectors that are nearly equal by their true distances', () => {
    const [channels, rows, columns] = [64, 20, 40];
    const random = stream(2, 'vectors');
    const base = values(channels, () => random.normal());
    const a = values(rows * channels, (i) => base[i % channels]!);
    const b = values(columns * channels, (i) => base[i % channels]! * (1 + 1e-6 * random.normal()));
    const squared = Array.from({ length: columns }, (_, j) =>
      base.reduce((sum, value, k) => sum + (value - b[j * channels + k]!) ** 2, 0),
    );
    const [nearest, second] = squared.toSorted((x, y) => x - y) as [number, number];
    const { fromA } = runSync(nearestNeighbours({ a, b, channels }));
    for (let i = 0; i < rows; i++) {
      assert.equal(fromA.index[i], squared.indexOf(nearest));
      assert.ok(Math.abs(fromA.squared[i]! / nearest - 1) < 1e-12);
      assert.ok(Math.abs(fromA.secondSquared[i]! / second - 1) < 1e-12);
    }
  });
});

describe('squaredDistance', () => {
  it('sums all channels, of an even or an odd number', () => {
    const a = Float32Array.from({ length: 15 }, (_, i) => i);
    for (const channels of [1, 2, 3, 4, 5]) {
      // Row 2 of a and row 1 of these differ by 1, 2, ... in their channels.
      const b = Float32Array.from({ length: 2 * channels }, (_, i) => i + channels + (i % channels) + 1);
      const expected = (channels * (channels + 1) * (2 * channels + 1)) / 6;
      assert.equal(squaredDistance(a, 2, b, 1, channels), expected, `${channels} channels`);
    }
  });
});
