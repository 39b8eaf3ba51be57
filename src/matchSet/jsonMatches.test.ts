import assert from 'node:assert/strict';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { test } from 'node:test';
import { imageOfCells, matchedSet, matchesOf } from '../../test/support/matchedSets.js';
import { writeJsonMatches } from './jsonMatches.js';

test('the cells of each side are those of its own grid, also where the images have different ones', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'vicregl-json-matches-'));
  t.after(() => rm(folder, { recursive: true }));
  const images = {
    a: imageOfCells({ width: 60, height: 20 }, { rows: 2, columns: 3 }),
    b: imageOfCells({ width: 20, height: 60 }, { rows: 3, columns: 2 }),
  };
  const homography = { matrix: [1, 0, 0, 0, 1, 0, 0, 0, 1], inliers: [1], rms: 0.5 };
  const path = join(folder, 'matches.jsonl');
  await writeJsonMatches(
    path,
    matchedSet(images, {
      'a b': matchesOf(
        [
          [0, 5],
          [4, 2],
        ],
        homography,
      ),
      'b a': matchesOf([]),
    }),
  );
  const lines = (await readFile(path, 'utf8')).trimEnd().split('\n');
  assert.deepEqual(
    lines.map((line) => JSON.parse(line)),
    [
      {
        ...{ a: 'a', b: 'b', homography },
        pairs: [
          {
            a: { row: 0, column: 0, x: 10, y: 5 },
            b: { row: 2, column: 1, x: 15, y: 50 },
            distance: 0,
            similarity: 1,
          },
          {
            a: { row: 1, column: 1, x: 30, y: 15 },
            b: { row: 1, column: 0, x: 5, y: 30 },
            distance: 1,
            similarity: 0.5,
          },
        ],
      },
      { a: 'b', b: 'a', pairs: [] },
    ],
  );
});
