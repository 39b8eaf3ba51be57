import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { doubles, evaluate, floats, integers, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { gradients } from '../onnx/gradients.js';
import { Graph } from '../onnx/graph.js';
import { mul } from '../onnx/ops/elementwise.js';
import { reduceSum } from '../onnx/ops/reduce.js';
import { GraphError } from '../onnx/shapes.js';
import { featureDistances, locationDistances, nearestPairs, selectCells } from './matching.js';

/** Squared distances of all pairs of vectors: [B, P, D] and [B, Q, D] -> rows of [B * P]. */
function allDistances(a: readonly number[], b: readonly number[], [batch, p, q, d]: readonly number[]): number[][] {
  return Array.from({ length: batch! * p! }, (_, row) =>
    Array.from({ length: q! }, (_, target) => {
      const [from, to] = [row * d!, (Math.floor(row / p!) * q! + target) * d!];
      return Array.from({ length: d! }, (_, k) => (a[from + k]! - b[to + k]!) ** 2).reduce((x, y) => x + y);
    }),
  );
}

/** The pairs of one image by sorting: nearest target (lower index on ties), gamma closest, ascending source. */
function reference(distances: readonly (readonly number[])[], gamma: number) {
  const nearest = distances.map((row) => ({ distance: Math.min(...row), target: row.indexOf(Math.min(...row)) }));
  const kept = nearest
    .map(({ distance }, source) => ({ distance, source }))
    .sort((a, b) => a.distance - b.distance || a.source - b.source)
    .slice(0, gamma)
    .map(({ source }) => source)
    .sort((a, b) => a - b);
  return { sources: kept, targets: kept.map((source) => nearest[source]!.target) };
}

async function match(distances: readonly number[], shape: readonly number[], gamma: number) {
  const { sources, targets } = await evaluate((feed) => {
    const pairs = nearestPairs(feed(floats(shape, distances)), gamma);
    return { sources: pairs.sources!, targets: pairs.targets };
  });
  return { sources: numbers(sources), targets: numbers(targets) };
}

describe('distances', () => {
  const [batch, p, q] = [2, 5, 3];
  it('of locations are squared differences', async () => {
    const [a, b] = [normals([batch, p, 2], 1), normals([batch, q, 2], 2)].map((values) => values.map((v) => 400 * v));
    const { y } = await evaluate((feed) => ({
      y: locationDistances(feed(doubles([batch, p, 2], a!)), feed(doubles([batch, q, 2], b!))),
    }));
    assert.deepEqual(y.shape, [batch, p, q]);
    assert.ok(relativeError(numbers(y), allDistances(a!, b!, [batch, p, q, 2]).flat()) < 1e-12);
  });

  it('of features are squared L2 distances, without a gradient', async () => {
    const [a, b] = [normals([batch, p, 7], 3), normals([batch, q, 7], 4)];
    const { y } = await evaluate((feed) => ({
      y: featureDistances(feed(doubles([batch, p, 7], a)), feed(doubles([batch, q, 7], b))),
    }));
    assert.ok(relativeError(numbers(y), allDistances(a, b, [batch, p, q, 7]).flat()) < 1e-12);
    const graph = new Graph();
    const inputs = [graph.input('a', 'float32', [1, 2, 3]), graph.input('b', 'float32', [1, 2, 3])] as const;
    assert.throws(() => gradients(reduceSum(featureDistances(...inputs)), inputs), /does not depend on "a"/);
  });
});

describe('nearestPairs', () => {
  it('selects the lower cell on ties, of targets and of sources', async () => {
    const distances = [
      [2, 1, 1],
      [0, 0, 5],
      [1, 9, 1],
      [7, 1, 1],
    ];
    assert.deepEqual(await match(distances.flat(), [1, 4, 3], 3), { sources: [0, 1, 2], targets: [1, 0, 0] });
    assert.deepEqual(await match(distances.flat(), [1, 4, 3], 1), { sources: [1], targets: [0] });
  });

  it('keeps sources in raster order, not in order of distance', async () => {
    assert.deepEqual(await match([3, 9, 2, 9, 1, 9], [1, 3, 2], 2), { sources: [1, 2], targets: [0, 0] });
  });

  it('agrees with sorting for any distances, ties included', async () => {
    const cases = fc.tuple(fc.integer({ min: 2, max: 9 }), fc.integer({ min: 1, max: 9 })).chain(([p, q]) =>
      fc.record({
        p: fc.constant(p),
        q: fc.constant(q),
        gamma: fc.integer({ min: 1, max: p - 1 }),
        distances: fc.array(fc.integer({ min: 0, max: 4 }), { minLength: 2 * p * q, maxLength: 2 * p * q }),
      }),
    );
    await fc.assert(
      fc.asyncProperty(cases, async ({ p, q, gamma, distances }) => {
        const rows = Array.from({ length: 2 * p }, (_, i) => distances.slice(i * q, (i + 1) * q));
        const [first, second] = [reference(rows.slice(0, p), gamma), reference(rows.slice(p), gamma)];
        assert.deepEqual(await match(distances, [2, p, q], gamma), {
          sources: [...first.sources, ...second.sources],
          targets: [...first.targets, ...second.targets],
        });
      }),
      { numRuns: 30, seed: 2 },
    );
  });

  it('matches a view with itself cell by cell, by location and by feature, in float32', async () => {
    const views = fc.record({
      seed: fc.integer({ min: 0, max: 10_000 }),
      side: fc.integer({ min: 2, max: 7 }),
      d: fc.integer({ min: 2, max: 64 }),
      scale: fc.constantFrom(1e-2, 1, 30),
    });
    await fc.assert(
      fc.asyncProperty(views, async ({ seed, side, d, scale }) => {
        const cells = side ** 2;
        const identity = Array.from({ length: 2 * cells }, (_, i) => i % cells);
        const maps = normals([2, cells, d], seed).map((value) => scale * value);
        const grid = identity.flatMap((cell) => [10 + 3.5 * Math.floor(cell / side), 20 + 7.25 * (cell % side)]);
        const found = await evaluate((feed) => {
          const [x, g] = [feed(floats([2, cells, d], maps)), feed(floats([2, cells, 2], grid))];
          const distances = { feature: featureDistances(x, x), location: locationDistances(g, g) };
          return {
            feature: nearestPairs(distances.feature, 'all').targets,
            location: nearestPairs(distances.location, 'all').targets,
            sources: nearestPairs(distances.feature, 2).sources!,
            targets: nearestPairs(distances.feature, 2).targets,
          };
        });
        assert.deepEqual(numbers(found.feature), identity);
        assert.deepEqual(numbers(found.location), identity);
        assert.deepEqual(numbers(found.targets), numbers(found.sources));
      }),
      { numRuns: 15, seed: 6 },
    );
  });

  it("keeps every cell in order with gamma 'all' or as many as there are", () => {
    for (const gamma of ['all', 4] as const) {
      const distances = new Graph().input('d', 'float32', [2, 4, 3]);
      assert.equal(nearestPairs(distances, gamma).sources, undefined);
    }
  });

  it('rejects more matches than cells, with both numbers', () => {
    const distances = new Graph().input('d', 'float32', [2, 4, 9]);
    assert.throws(
      () => nearestPairs(distances, 5),
      (error: unknown) => {
        assert.ok(error instanceof GraphError);
        assert.equal(error.message, 'numMatches 5 exceeds the 4 cells of the map; use at most 4');
        return true;
      },
    );
    assert.throws(() => nearestPairs(distances, 0), GraphError);
  });
});

it('selectCells gathers vectors, and its gradient sums repeated cells', async () => {
  const maps = normals([2, 3, 2], 8);
  const picked = [1, 1, 0, 2, 2, 2];
  const gy = normals([2, 3, 2], 9);
  const { y, gx } = await evaluate((feed) => {
    const x = feed(doubles([2, 3, 2], maps));
    const output = selectCells(x, feed(integers([2, 3], picked)));
    return { y: output, gx: gradients(reduceSum(mul(output, feed(doubles([2, 3, 2], gy)))), [x])[0]! };
  });
  const expected = maps.map(() => 0);
  picked.forEach((cell, i) => {
    const row = Math.floor(i / 3) * 3 + cell;
    for (const k of [0, 1]) {
      assert.equal(numbers(y)[2 * i + k], maps[2 * row + k]);
      expected[2 * row + k]! += gy[2 * i + k]!;
    }
  });
  assert.ok(relativeError(numbers(gx), expected) < 1e-12);
});
