import assert from 'node:assert/strict';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, test } from 'node:test';
import sqlite from 'node-sqlite3-wasm';
import { imageOfCells, matchedSet, matchesOf } from '../../test/support/matchedSets.js';
import { type Point, project } from '../image/homography.js';
import { writeColmapDatabase } from './colmapDatabase.js';
import type { MatchedSet } from './output.js';

/** TwoViewGeometry::PLANAR_OR_PANORAMIC. */
const PLANAR = 6;
const pairId = (first: number, second: number) => first * 2_147_483_647 + second;

/** Takes (x, y, 1) of the pair's a, upright, to its b: turns, shears and tilts, so that nothing is its own inverse. */
const tilted = [1.2, 0.3, 5, -0.1, 0.8, 7, 1e-3, 2e-3, 1];

let folder: string;
let files = 0;
before(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vicregl-colmap-'));
});
after(() => rm(folder, { recursive: true }));

/** The rows of matches and geometries that are written for a set. */
async function written(set: MatchedSet) {
  const path = join(folder, `${files++}.db`);
  await writeColmapDatabase(path, set, false);
  const database = new sqlite.Database(path, { readOnly: true });
  const rows = (table: string) =>
    (database.all(`SELECT * FROM ${table} ORDER BY pair_id`) as Record<string, unknown>[]).map((row) => ({
      id: Number(row['pair_id']),
      cells: [...new Uint32Array((row['data'] as Uint8Array).slice().buffer)],
      config: row['config'],
      h: row['H'] && new Float64Array((row['H'] as Uint8Array).slice().buffer),
    }));
  try {
    return { matches: rows('matches'), geometries: rows('two_view_geometries') };
  } finally {
    database.close();
  }
}

const places: readonly Point[] = [
  { x: 0, y: 0 },
  { x: 30, y: 10 },
  { x: 55, y: 35 },
  { x: 12, y: 38 },
];

describe('two-view geometries', () => {
  // 60 x 40 pixels, stored turned by 90 degrees in one direction, and 80 x 60 in the other.
  const images = {
    first: imageOfCells({ width: 60, height: 40 }, { rows: 4, columns: 6 }, 8),
    second: imageOfCells({ width: 80, height: 60 }, { rows: 6, columns: 8 }, 6),
  };
  const stored = {
    first: ({ x, y }: Point): Point => ({ x: 40 - y, y: x }),
    second: ({ x, y }: Point): Point => ({ x: y, y: 80 - x }),
  };
  const cells = Array.from({ length: 20 }, (_, i): [number, number] => [i, 23 - i]);
  const inliers = [...cells.keys()].filter((i) => i % 5 !== 0);
  const matches = matchesOf(cells, { matrix: tilted, inliers, rms: 1 });

  for (const [a, b] of [
    ['first', 'second'],
    ['second', 'first'],
  ] as const) {
    test(`lead from the stored pixels of the first image to those of the second: a pair of the ${a} and the ${b}`, async () => {
      const found = await written(matchedSet(images, { [`${a} ${b}`]: matches }));
      const swapped = a === 'second';
      const rows = (indices: Iterable<number>) =>
        [...indices].flatMap((i) => (swapped ? cells[i]!.toReversed() : cells[i]!));
      assert.deepEqual(found.matches, [
        { id: pairId(1, 2), cells: rows(cells.keys()), config: undefined, h: undefined },
      ]);
      const [{ h, ...geometry }, ...none] = found.geometries as [(typeof found.geometries)[number]];
      assert.deepEqual([geometry, none], [{ id: pairId(1, 2), cells: rows(inliers), config: PLANAR }, []]);
      for (const place of places) {
        const [inA, inB] = [stored[a](place), stored[b](project(tilted, place))];
        const [from, to] = swapped ? [inB, inA] : [inA, inB];
        const image = project(h as Float64Array, from);
        assert.ok(Math.hypot(image.x - to.x, image.y - to.y) < 1e-6, `${JSON.stringify(image)}, ${JSON.stringify(to)}`);
      }
    });
  }

  test('are those with 15 inliers or more, and a quarter of the matches', async () => {
    const image = images.first;
    const of = (count: number, agreeing: number) =>
      matchesOf(
        Array.from({ length: count }, (_, i) => [i, i]),
        { matrix: tilted, inliers: Array.from({ length: agreeing }, (_, i) => i), rms: 1 },
      );
    const { matches: all, geometries } = await written(
      matchedSet(
        { a: image, b: image, c: image },
        {
          'a b': of(14, 14),
          'a c': of(60, 15),
          'b c': of(61, 15),
          'a a': { ...matchesOf([[0, 0]]), homography: { absence: 'too_few_pairs' } },
          'b b': matchesOf([[1, 1]]),
        },
      ),
    );
    assert.deepEqual(
      all.map(({ cells: each }) => each.length / 2),
      [1, 14, 60, 1, 61],
    );
    assert.deepEqual(
      geometries.map(({ id, cells: each }) => [id, each.length / 2]),
      [[pairId(1, 3), 15]],
    );
  });
});
