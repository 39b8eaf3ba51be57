import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubles, evaluate, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { gradients } from '../onnx/gradients.js';
import { ntXentLoss, unitVectors } from './ntXent.js';

/** Loss and gradients of vectors that are normalised first; chunks of the given number of positions. */
async function run(
  shape: readonly number[],
  x: readonly number[],
  y: readonly number[],
  temperature: number,
  positionsAtOnce?: number,
) {
  const results = await evaluate((feed) => {
    const inputs = [feed(doubles(shape, x)), feed(doubles(shape, y))];
    const chunkElements = positionsAtOnce && positionsAtOnce * (2 * shape[0]!) ** 2;
    const loss = ntXentLoss(unitVectors(inputs[0]!), unitVectors(inputs[1]!), {
      temperature,
      ...(chunkElements !== undefined && { chunkElements }),
    });
    const [gx, gy] = gradients(loss, inputs);
    return { loss, gx: gx!, gy: gy! };
  });
  return { loss: numbers(results.loss)[0]!, gx: numbers(results.gx), gy: numbers(results.gy) };
}

/** Equation 1 of SimCLR in plain loops; shape [N, D] or [N, G, D]. */
function reference(shape: readonly number[], x: readonly number[], y: readonly number[], temperature: number): number {
  const [n, d] = [shape[0]!, shape.at(-1)!];
  const positions = shape.length === 3 ? shape[1]! : 1;
  const vector = (values: readonly number[], image: number, g: number) => {
    const row = values.slice((image * positions + g) * d, (image * positions + g + 1) * d);
    return row.map((value) => value / Math.hypot(...row));
  };
  let total = 0;
  for (let g = 0; g < positions; g++) {
    const all = [x, y].flatMap((values) => Array.from({ length: n }, (_, i) => vector(values, i, g)));
    all.forEach((anchor, i) => {
      const shares = all.map((other, k) =>
        k === i ? 0 : Math.exp(anchor.reduce((sum, value, c) => sum + value * other[c]!, 0) / temperature),
      );
      total -= Math.log(shares[(i + n) % (2 * n)]! / shares.reduce((a, b) => a + b));
    });
  }
  return total / (2 * n * positions);
}

const near = (actual: number, expected: number, tolerance = 1e-10) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.max(1, Math.abs(expected)), `${actual}, ${expected}`);

describe('NT-Xent, in float64', () => {
  for (const shape of [
    [4, 6],
    [2, 1],
    [3, 5, 4],
  ]) {
    it(`on [${shape.join(', ')}] has the value of its equation and the gradient of central differences`, async () => {
      const [x, y] = [normals(shape, 1), normals(shape, 2)];
      const { loss, gx, gy } = await run(shape, x, y, 0.2);
      near(loss, reference(shape, x, y, 0.2));
      for (const [values, gradient] of [
        [x, gx],
        [y, gy],
      ] as const) {
        for (let i = 0; i < values.length; i++) {
          const at = values[i]!;
          const ends = [1e-5, -1e-5].map((step) => {
            values[i] = at + step;
            return reference(shape, x, y, 0.2);
          });
          values[i] = at;
          near(gradient[i]!, (ends[0]! - ends[1]!) / 2e-5, 1e-8);
        }
      }
    });
  }

  it('does not depend on the chunks of positions', async () => {
    const shape = [3, 5, 4];
    const [x, y] = [normals(shape, 3), normals(shape, 4)];
    const whole = await run(shape, x, y, 0.125);
    for (const positionsAtOnce of [1, 2]) {
      const parts = await run(shape, x, y, 0.125, positionsAtOnce);
      near(parts.loss, whole.loss, 1e-12);
      // With one chunk ONNX Runtime folds the gradient's scale into a product, as a float32.
      assert.ok(relativeError(parts.gx, whole.gx) < 1e-7);
      assert.ok(relativeError(parts.gy, whole.gy) < 1e-7);
    }
  });

  it('of orthogonal images whose views agree is log(1 + 2 (N - 1) exp(-1 / t))', async () => {
    const identity = [1, 0, 0, 0, 1, 0, 0, 0, 1];
    near(
      (
        await run(
          [3, 3],
          identity,
          identity.map((value) => 7 * value),
          0.5,
        )
      ).loss,
      Math.log(1 + 4 * Math.exp(-2)),
    );
  });

  it('of a collapsed batch is log(2N - 1)', async () => {
    const same = Array(4).fill([1, 2, 3]).flat();
    near((await run([4, 3], same, same, 0.15)).loss, Math.log(7));
  });

  it('stays finite for a vector of zeros and for a small temperature', async () => {
    const [x, y] = [normals([3, 4], 1), normals([3, 4], 2)];
    for (const [left, temperature] of [
      [[0, 0, 0, 0, ...x.slice(4)], 0.15],
      [x, 1e-3],
    ] as const) {
      const { loss, gx, gy } = await run([3, 4], left, y, temperature);
      assert.ok([loss, ...gx, ...gy].every(Number.isFinite));
    }
  });

  it('does not depend on the lengths of vectors, the order of the batch or the order of the views', async () => {
    const batches = fc.tuple(fc.integer({ min: 2, max: 6 }), fc.integer({ min: 0, max: 10_000 })).chain(([n, seed]) =>
      fc.record({
        n: fc.constant(n),
        seed: fc.constant(seed),
        scale: fc.double({ min: 0.01, max: 100, noNaN: true }),
        order: fc.shuffledSubarray([...Array(n).keys()], { minLength: n, maxLength: n }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(batches, async ({ n, seed, scale, order }) => {
        const [x, y] = [normals([n, 5], seed), normals([n, 5], seed + 1)];
        const shuffled = (values: readonly number[]) => order.flatMap((row) => values.slice(5 * row, 5 * row + 5));
        const { loss } = await run([n, 5], x, y, 0.15);
        near(
          (
            await run(
              [n, 5],
              shuffled(y),
              shuffled(x).map((value) => scale * value),
              0.15,
            )
          ).loss,
          loss,
        );
      }),
      { numRuns: 15, seed: 5 },
    );
  });
});
