import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubles, evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { gradients } from '../onnx/gradients.js';
import { sub } from '../onnx/ops/elementwise.js';
import { tensor } from '../tensor/tensor.js';
import { batchStatistics, covarianceLoss, invarianceLoss, varianceLoss } from './vicregTerms.js';

/** The equations of VICReg as written, on rows of [N, D]. */
const mean = (values: readonly number[]) => values.reduce((a, b) => a + b, 0) / values.length;

function covariances(rows: readonly (readonly number[])[]): number[][] {
  const [n, d] = [rows.length, rows[0]!.length];
  const means = Array.from({ length: d }, (_, j) => mean(rows.map((row) => row[j]!)));
  return means.map((a, i) =>
    means.map((b, j) => rows.reduce((s, row) => s + (row[i]! - a) * (row[j]! - b), 0) / (n - 1)),
  );
}

const variance = (rows: readonly (readonly number[])[]) =>
  mean(covariances(rows).map((row, i) => Math.max(0, 1 - Math.sqrt(row[i]! + 1e-4))));

const covariance = (rows: readonly (readonly number[])[]) =>
  covariances(rows).reduce((sum, row, i) => sum + row.reduce((s, c, j) => s + (i === j ? 0 : c * c), 0), 0) /
  rows[0]!.length;

/** Vectors [N, G, D] as G lists of rows; G = 1 for [N, D]. */
function positions(shape: readonly number[], values: readonly number[]): number[][][] {
  const [n, g, d] = shape.length === 2 ? [shape[0]!, 1, shape[1]!] : (shape as [number, number, number]);
  return Array.from({ length: g }, (_, p) =>
    Array.from({ length: n }, (_, i) => values.slice((i * g + p) * d, (i * g + p + 1) * d)),
  );
}

async function losses(shape: readonly number[], values: readonly number[]) {
  const { v, c } = await evaluate((feed) => {
    const statistics = batchStatistics(feed(doubles(shape, values)));
    return { v: varianceLoss(statistics), c: covarianceLoss(statistics) };
  });
  return { v: numbers(v)[0]!, c: numbers(c)[0]! };
}

const near = (actual: number, expected: number) =>
  assert.ok(Math.abs(actual - expected) <= 1e-10 * Math.max(1, Math.abs(expected)), `${actual}, expected ${expected}`);

describe('VICReg criterion against its equations, in float64', () => {
  for (const shape of [
    [3, 8], // N < D: the Gram matrix
    [8, 3], // N > D: the covariance matrix
    [5, 5],
    [2, 1],
    [3, 4, 8],
    [9, 2, 4],
    [4, 3, 1],
  ]) {
    it(`on [${shape.join(', ')}]`, async () => {
      // Deviations below and above the hinge at 1.
      const values = normals(shape, shape[0]!).map((value, i) => value * (0.3 + 0.4 * (i % 4)) + 5);
      const { v, c } = await losses(shape, values);
      const groups = positions(shape, values);
      near(v, mean(groups.map(variance)));
      near(c, mean(groups.map(covariance)));
    });
  }

  it('covariance has its value and gradient whatever the size of its chunks', async () => {
    for (const shape of [
      [9, 5, 4], // the covariance matrix
      [3, 5, 6], // the Gram matrix
      [7, 3],
    ]) {
      const x = normals(shape, 3).map((value) => value + 2);
      const run = (chunk?: number) =>
        evaluate((feed) => {
          const input = feed(doubles(shape, x));
          const y = covarianceLoss(batchStatistics(input), chunk);
          return { y, gx: gradients(y, [input])[0]! };
        });
      const whole = await run();
      near(numbers(whole.y)[0]!, mean(positions(shape, x).map(covariance)));
      for (const [i, gradient] of numbers(whole.gx).entries()) {
        const at = (step: number) =>
          mean(
            positions(
              shape,
              x.map((value, k) => (k === i ? value + step : value)),
            ).map(covariance),
          );
        assert.ok(Math.abs((at(1e-5) - at(-1e-5)) / 2e-5 - gradient) < 1e-8, `${shape} element ${i}`);
      }
      for (const positionsAtOnce of [1, 2]) {
        const parts = await run(positionsAtOnce * Math.min(shape[0]!, shape.at(-1)!) ** 2);
        near(numbers(parts.y)[0]!, numbers(whole.y)[0]!);
        assert.ok(relativeError(numbers(parts.gx), numbers(whole.gx)) < 1e-12);
      }
    }
  });

  it('invariance is the mean squared difference over all elements', async () => {
    const shape = [4, 2, 3];
    const [x, y] = [normals(shape, 1), normals(shape, 2)];
    const { s } = await evaluate((feed) => ({ s: invarianceLoss(feed(doubles(shape, x)), feed(doubles(shape, y))) }));
    near(numbers(s)[0]!, mean(x.map((value, i) => (value - y[i]!) ** 2)));
  });

  it('invariance and covariance of a large batch are accurate in float32', async () => {
    // Each channel is 1 in one half of the batch and -1 in the other, so that all covariances are that of two equal channels.
    const [n, g, d] = [96, 49, 512];
    const x = Float32Array.from({ length: n * g * d }, (_, i) => (i < (n * g * d) / 2 ? 1 : -1));
    const { s, c } = await evaluate((feed) => {
      const [input, other] = [feed(tensor('float32', [n, g, d], x)), feed(floats([1], [0.1]))];
      return { s: invarianceLoss(input, sub(input, other)), c: covarianceLoss(batchStatistics(input)) };
    });
    assert.ok(relativeError(numbers(s), [0.01]) < 1e-5, `${numbers(s)}`);
    assert.ok(relativeError(numbers(c), [(d - 1) * (n / (n - 1)) ** 2]) < 1e-5, `${numbers(c)}`);
  });

  it('variance of a collapsed batch is 1 - sqrt(1e-4), of a spread one 0', async () => {
    near((await losses([4, 3], Array(12).fill(7))).v, 0.99);
    assert.equal((await losses([2, 2], [-3, 3, 3, -3])).v, 0);
  });

  it('covariance of uncorrelated dimensions is 0', async () => {
    near((await losses([4, 2], [1, 1, 1, -1, -1, 1, -1, -1])).c, 0);
  });
});

describe('VICReg criterion, for any vectors', () => {
  const batches = fc.tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 1, max: 7 })).chain(([n, d]) =>
    fc.record({
      shape: fc.constant([n, d]),
      values: fc.array(fc.double({ min: -10, max: 10, noNaN: true }), { minLength: n * d, maxLength: n * d }),
      order: fc.shuffledSubarray(
        Array.from({ length: n }, (_, i) => i),
        { minLength: n, maxLength: n },
      ),
    }),
  );

  it('agrees with its equations, is never negative, and ignores the order of the batch', async () => {
    await fc.assert(
      fc.asyncProperty(batches, async ({ shape, values, order }) => {
        const d = shape[1]!;
        const shuffled = order.flatMap((row) => values.slice(row * d, (row + 1) * d));
        const [first, second] = [await losses(shape, values), await losses(shape, shuffled)];
        const [rows] = positions(shape, values);
        near(first.v, variance(rows!));
        // the sum of all squares minus the diagonal ones: exact to 1e-12 of the squares
        const squares = covariances(rows!)
          .flat()
          .reduce((sum, value) => sum + value * value, 0);
        assert.ok(Math.abs(first.c - covariance(rows!)) <= 1e-12 * (1 + squares));
        assert.ok(first.c >= -1e-12 * (1 + squares));
        near(second.v, first.v);
        assert.ok(Math.abs(second.c - first.c) <= 1e-12 * (1 + squares));
      }),
      { numRuns: 25, seed: 1 },
    );
  });
});
