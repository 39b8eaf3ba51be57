import assert from 'node:assert/strict';
import { it } from 'node:test';
import fc from 'fast-check';
import { evaluate, floats, numbers } from '../../test/support/graphs.js';
import { locationGrid } from '../data/crop.js';
import { featureDistances, locationDistances, nearestPairs } from '../vicregl/matching.js';

/** The loader's grids and the loss's matches must agree on the position of a matched cell in the photograph. */

const side = fc.double({ min: 60, max: 300, noNaN: true });
const crop = fc.record({
  top: fc.double({ min: 0, max: 200, noNaN: true }),
  left: fc.double({ min: 0, max: 200, noNaN: true }),
  height: side,
  width: side,
});

/** Features of a cell at a position of the photograph: a smooth function of the position. */
const look = (row: number, column: number) => [row / 50, column / 50, Math.sin(row / 40), Math.cos(column / 30)];

/** Reverses the columns of [n, n, d], as in the pixels of a flipped view. */
function mirrored(values: readonly number[], n: number, d: number): number[] {
  return Array.from({ length: n * n }, (_, cell) => Math.floor(cell / n) * n + (n - 1 - (cell % n))).flatMap((cell) =>
    values.slice(cell * d, (cell + 1) * d),
  );
}

it('a flipped view with a mirrored grid is matched at the same places of the photograph', async () => {
  const cases = fc.record({
    a: crop,
    b: crop,
    n: fc.integer({ min: 2, max: 7 }),
    gamma: fc.integer({ min: 1, max: 3 }),
  });
  await fc.assert(
    fc.asyncProperty(cases, async ({ a, b, n, gamma }) => {
      const cells = n * n;
      const [gridA, gridB, turned] = [
        { ...a, flip: false },
        { ...b, flip: false },
        { ...b, flip: true },
      ].map((one) => Array.from(locationGrid(one, n, n))) as [number[], number[], number[]];
      const looks = (grid: readonly number[]) =>
        Array.from({ length: cells }, (_, cell) => look(grid[2 * cell]!, grid[2 * cell + 1]!)).flat();
      const [mapA, mapB] = [looks(gridA), looks(gridB)];
      const mapTurned = mirrored(mapB, n, 4);

      const feedMap = (values: readonly number[]) => floats([1, cells, 4], values);
      const feedGrid = (values: readonly number[]) => floats([1, cells, 2], values);
      const found = await evaluate((feed) => {
        const [map, grid] = [feed(feedMap(mapA)), feed(feedGrid(gridA))];
        const of = (otherMap: readonly number[], otherGrid: readonly number[]) => {
          const byLocation = locationDistances(grid, feed(feedGrid(otherGrid)));
          const byFeature = featureDistances(map, feed(feedMap(otherMap)));
          return [nearestPairs(byLocation, gamma), nearestPairs(byFeature, 'all')] as const;
        };
        const [location, feature] = of(mapB, gridB);
        const [turnedLocation, turnedFeature] = of(mapTurned, turned);
        return {
          location: location.targets,
          sources: location.sources!,
          turnedLocation: turnedLocation.targets,
          turnedSources: turnedLocation.sources!,
          feature: feature.targets,
          turnedFeature: turnedFeature.targets,
        };
      });
      const places = (targets: keyof typeof found, grid: readonly number[]) =>
        numbers(found[targets]).map((cell) => grid.slice(2 * cell, 2 * cell + 2));
      assert.deepEqual(places('turnedLocation', turned), places('location', gridB));
      assert.deepEqual(places('turnedFeature', turned), places('feature', gridB));
      assert.deepEqual(numbers(found.turnedSources), numbers(found.sources));
    }),
    { numRuns: 40, seed: 7 },
  );
});
