import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../../test/support/graphs.js';
import { Graph } from '../graph.js';
import { add } from './elementwise.js';
import { batchNorm, channelAffine } from './normalisation.js';

const EPSILON = 1e-5;
const [images, channels, cells] = [2, 3, 4];
const shape = [images, channels, cells];
const channelOf = (i: number) => Math.floor(i / cells) % channels;
const ofChannel = (values: readonly number[], c: number) => values.filter((_, i) => channelOf(i) === c);
const mean = (values: readonly number[]) => values.reduce((sum, value) => sum + value, 0) / values.length;
const variance = (values: readonly number[]) => mean(values.map((value) => (value - mean(values)) ** 2));

describe('batchNorm', () => {
  it('returns the mean and the biased variance of each of several inputs, readable by later nodes', async () => {
    const [a, b] = [normals(shape, 1), normals(shape, 2).map((value) => 3 * value + 5)];
    const [scale, bias] = [
      [1, -2, 0.5],
      [0, 1, 2],
    ];
    const results = await evaluate((feed) => {
      const [s, t] = [feed(floats([channels], scale!)), feed(floats([channels], bias!))];
      const [first, second] = [a, b].map((values) => batchNorm(feed(floats(shape, values)), s, t, EPSILON));
      // Sums that read the statistics after both operators have run.
      return {
        first: first!.y,
        second: second!.y,
        means: add(first!.mean, second!.mean),
        variances: add(first!.variance, second!.variance),
      };
    });
    const each = Array.from({ length: channels }, (_, c) => [ofChannel(a, c), ofChannel(b, c)] as const);
    for (const [values, y] of [
      [a, results.first],
      [b, results.second],
    ] as const) {
      const expected = values.map((value, i) => {
        const c = channelOf(i);
        const own = ofChannel(values, c);
        return ((value - mean(own)) / Math.sqrt(variance(own) + EPSILON)) * scale![c]! + bias![c]!;
      });
      assert.ok(relativeError(numbers(y), expected) < 1e-5);
    }
    const sums = (of: (values: readonly number[]) => number) => each.map(([x, y]) => of(x) + of(y));
    assert.ok(relativeError(numbers(results.means), sums(mean)) < 1e-5);
    assert.ok(relativeError(numbers(results.variances), sums(variance)) < 1e-5);
  });

  it('rejects vectors of other lengths and a single element', () => {
    const graph = new Graph();
    const input = (name: string, of: readonly number[]) => graph.input(name, 'float32', of);
    const [two, three] = [input('two', [2]), input('three', [3])];
    assert.throws(
      () => batchNorm(input('x', shape), two, three, EPSILON),
      /\[2, 3, 4\] does not fit vectors \[2\], \[3\]/,
    );
    assert.throws(() => batchNorm(input('y', [1, 3, 1]), three, three, EPSILON), /two elements a channel/);
  });
});

describe('channelAffine', () => {
  it('scales and shifts every channel', async () => {
    const x = normals(shape, 3);
    const [scale, shift] = [
      [2, -1, 0],
      [0.5, 0, -3],
    ];
    const { y } = await evaluate((feed) => ({
      y: channelAffine(feed(floats(shape, x)), feed(floats([channels], scale!)), feed(floats([channels], shift!))),
    }));
    const expected = x.map((value, i) => value * scale![channelOf(i)]! + shift![channelOf(i)]!);
    assert.ok(relativeError(numbers(y), expected) < 1e-6);
  });
});
