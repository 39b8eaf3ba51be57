import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, floats, integers, normals, numbers } from '../../test/support/graphs.js';
import type { Value } from '../onnx/graph.js';
import { concat, unsqueeze } from '../onnx/ops/shape.js';
import { classRank } from '../tensor/rows.js';
import { crossEntropy, meanCorrelation, normalisedStd, topAccuracy } from './monitors.js';

const [n, d] = [6, 5];
const columns = (values: readonly number[]) =>
  Array.from({ length: d }, (_, j) => Array.from({ length: n }, (_, i) => values[i * d + j]!));
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;
const std = (values: readonly number[]) =>
  Math.sqrt(values.reduce((sum, value) => sum + (value - mean(values)) ** 2, 0) / (values.length - 1));

async function monitor(of: (x: Value) => Value, values: readonly number[]): Promise<number> {
  return numbers((await evaluate((feed) => ({ y: of(feed(doubles([n, d], values))) }))).y)[0]!;
}
const near = (actual: number, expected: number, tolerance = 1e-10) =>
  assert.ok(Math.abs(actual - expected) < tolerance, `${actual}, expected ${expected}`);

describe('collapse monitors', () => {
  const x = normals([n, d], 1).map((value, i) => value + (i % d));

  it('normalisedStd is the mean deviation of the channels of L2-normalised vectors', async () => {
    const norms = Array.from({ length: n }, (_, i) => Math.hypot(...x.slice(i * d, (i + 1) * d)));
    const unit = x.map((value, i) => value / norms[Math.floor(i / d)]!);
    near(await monitor(normalisedStd, x), mean(columns(unit).map(std)));
    near(await monitor(normalisedStd, Array(n).fill([1, 2, 3, 4, 5]).flat()), 0, 1e-7);
  });

  it('meanCorrelation is the mean of the off-diagonal correlations', async () => {
    const standardised = columns(x).map((column) => column.map((v) => (v - mean(column)) / (std(column) + 1e-5)));
    let sum = 0;
    for (let i = 0; i < d; i++)
      for (let j = 0; j < d; j++)
        if (i !== j) sum += standardised[i]!.reduce((s, v, k) => s + v * standardised[j]![k]!, 0) / (n - 1);
    near(await monitor(meanCorrelation, x), sum / (d * (d - 1)));
    const oneFactor = Array.from({ length: n * d }, (_, i) => Math.floor(i / d) * ((i % d) + 1));
    near(await monitor(meanCorrelation, oneFactor), 1, 1e-4);
  });
});

describe('online classifier', () => {
  const logits = [3, 1, 2, 0, 5, 5, -1, 2, 1000, 999, 0, 0];
  const labels = [2, 1, 1];
  const run = async (of: (logits: Value, labels: Value) => Value) =>
    numbers((await evaluate((feed) => ({ y: of(feed(floats([3, 4], logits)), feed(integers([3], labels))) }))).y)[0]!;

  it('crossEntropy is the mean of -log softmax at the label', async () => {
    const losses = labels.map((label, i) => {
      const row = logits.slice(4 * i, 4 * i + 4);
      const max = Math.max(...row);
      return max + Math.log(row.reduce((sum, v) => sum + Math.exp(v - max), 0)) - row[label]!;
    });
    near(await run(crossEntropy), mean(losses), 1e-6);
  });

  it('topAccuracy counts labels with fewer than k larger logits', async () => {
    near(await run((a, b) => topAccuracy(a, b, 1)), 0, 1e-6);
    near(await run((a, b) => topAccuracy(a, b, 2)), 1, 1e-6);
    near(await run((a, b) => topAccuracy(a, b, 5)), 1, 1e-6); // more than there are classes
  });

  it('topAccuracy ranks equal logits by their classes, as classRank does', async () => {
    const rows = [new Float32Array(10), Float32Array.of(1, 4, 4, 0, 4, 2, 5, 4, 4, -1)];
    for (const row of rows) {
      const each = Array.from({ length: 10 }, (_, i) => i);
      const { y } = await evaluate((feed) => {
        const [a, b] = [
          feed(
            floats(
              [10, 10],
              each.flatMap(() => [...row]),
            ),
          ),
          feed(integers([10], each)),
        ];
        return {
          y: concat(
            [1, 2, 5].map((k) => unsqueeze(topAccuracy(a, b, k), [0])),
            0,
          ),
        };
      });
      const ranks = each.map((label) => classRank(row, label));
      numbers(y).forEach((value, i) => {
        near(value, ranks.filter((rank) => rank < [1, 2, 5][i]!).length / 10, 1e-6);
      });
      near(numbers(y)[0]!, 0.1, 1e-6); // one class is the first
    }
  });
});
