import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import type { Grid } from '../image/geometry.js';
import type { Box } from '../image/types.js';
import { stream } from '../tensor/random.js';
import { runSync } from '../tensor/slices.js';
import { tensor } from '../tensor/tensor.js';
import { bitmapRuns, type Runs } from './maskRuns.js';
import { cellsUnder, poolRegions, RegionReader, type RegionWeights } from './pool.js';

const regionWeights = (grids: readonly Grid[], runs: Runs) => new RegionReader(grids).read(runs);
const numbers = ({ left, right, top, bottom }: Box) => [left, right, top, bottom];

const [width, height, channels] = [48, 36, 5];
const random = stream(3, 'pool');

/** Cells of 8.5 x 7 pixels, mirrored, that do not cover the border of the image. */
const grid: Grid = {
  rows: 4,
  columns: 5,
  stride: 32,
  cellToPixel: { scaleX: -8.5, scaleY: 7, offsetX: 45.25, offsetY: 3.5 },
};
const map = tensor(
  'float32',
  [4, 5, channels],
  Float32Array.from({ length: 20 * channels }, () => random.normal()),
);

/** Plain loops: the mean over a fine grid of points inside the region, each with the vector of its cell. */
function sampled(inside: (x: number, y: number) => boolean) {
  const steps = 4;
  const sum = new Float64Array(channels);
  let covered = 0;
  let whole = 0;
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  for (let i = 0; i < height * steps; i++) {
    for (let j = 0; j < width * steps; j++) {
      const [x, y] = [(j + 0.5) / steps, (i + 0.5) / steps];
      if (!inside(x, y)) continue;
      whole++;
      const [column, row] = [Math.floor((x - offsetX) / scaleX), Math.floor((y - offsetY) / scaleY)];
      if (column < 0 || column >= grid.columns || row < 0 || row >= grid.rows) continue;
      covered++;
      for (let c = 0; c < channels; c++) sum[c]! += map.data[(row * grid.columns + column) * channels + c]!;
    }
  }
  return { mean: [...sum].map((value) => value / covered), coverage: covered / whole };
}

function close(actual: ArrayLike<number>, expected: readonly number[], tolerance = 1e-5): void {
  assert.equal(actual.length, expected.length);
  for (const [i, value] of expected.entries())
    assert.ok(Math.abs(actual[i]! - value) <= tolerance, `${actual[i]}, ${value}`);
}

describe('pooling is the mean over the area of the region', () => {
  test('of boxes', () => {
    // Edges on the sampling grid, but not on borders of cells or pixels.
    const boxes: Box[] = [
      { left: 5.5, right: 30.25, top: 4.25, bottom: 20.5 },
      { left: 0, right: 48, top: 0, bottom: 36 },
      { left: 40, right: 47.75, top: 1, bottom: 9 },
    ];
    const weights = boxes.flatMap((box) => runSync(regionWeights([grid], [numbers(box)])));
    const pooled = runSync(poolRegions(map, weights));
    assert.deepEqual(pooled.shape, [3, channels]);
    for (const [i, { left, right, top, bottom }] of boxes.entries()) {
      const { mean, coverage } = sampled((x, y) => x >= left && x < right && y >= top && y < bottom);
      close(pooled.data.subarray(i * channels, (i + 1) * channels), mean);
      assert.ok(Math.abs(weights[i]!.coverage - coverage) < 1e-6);
    }
  });

  test('of any mask, one box at a time or run by run', () => {
    const data = Uint8Array.from({ length: width * height }, () => (random.uniform(0, 1) < 0.3 ? 255 : 0));
    const [weights] = runSync(regionWeights([grid], bitmapRuns(data, width, height))) as [RegionWeights];
    const { mean, coverage } = sampled((x, y) => data[Math.floor(y) * width + Math.floor(x)] !== 0);
    close(runSync(poolRegions(map, [weights])).data, mean);
    assert.ok(Math.abs(weights.coverage - coverage) < 1e-6);
  });
});

test('a region without cells gives zeros and is marked; one without area is rejected', () => {
  const [outside] = runSync(regionWeights([grid], [[46, 48, 0, 36]])) as [RegionWeights];
  assert.equal(outside.coverage, 0);
  assert.deepEqual([...runSync(poolRegions(map, [outside])).data], [0, 0, 0, 0, 0]);
  assert.throws(() => runSync(regionWeights([grid], [])), { code: 'bad_region', message: 'has no area' });
});

test('the weights of several grids come from one pass over the region', () => {
  const coarse: Grid = {
    rows: 2,
    columns: 2,
    stride: 32,
    cellToPixel: { scaleX: 24, scaleY: 18, offsetX: 0, offsetY: 0 },
  };
  const data = Uint8Array.from({ length: width * height }, () => (random.uniform(0, 1) < 0.5 ? 1 : 0));
  const runs = () => bitmapRuns(data, width, height);
  const both = runSync(regionWeights([grid, coarse], runs()));
  assert.deepEqual(
    both,
    [grid, coarse].flatMap((one) => runSync(regionWeights([one], runs()))),
  );
});

test('regions that are read one after the other have the weights that each has alone', () => {
  const reader = new RegionReader([grid]);
  const boxes = [
    [5.5, 30.25, 4.25, 20.5],
    [0, 48, 0, 36],
    [46, 48, 0, 36],
    [5.5, 30.25, 4.25, 20.5],
  ];
  for (const box of boxes) {
    const [weights] = runSync(reader.read([box])) as [RegionWeights];
    assert.deepEqual([weights], runSync(regionWeights([grid], [box])));
    const [left, right, top, bottom] = box as [number, number, number, number];
    assert.equal(cellsUnder(grid, { left, right, top, bottom }), weights.cells.length);
  }
});

test('the cells that each rectangle touches are counted, and reading ends where the count says so', () => {
  const thin: Grid = {
    rows: 100_000,
    columns: 1,
    stride: 32,
    cellToPixel: { scaleX: 48, scaleY: 36 / 100_000, offsetX: 0, offsetY: 0 },
  };
  let visited = 0;
  const reader = new RegionReader([thin], (cells) => {
    visited += cells;
    if (visited > 1_000_000) throw new Error('enough');
  });
  runSync(reader.read([[0, 1, 0, 36]]));
  assert.equal(visited, 100_001);
  // Columns of one pixel, one over the other's cells.
  const columns = Array.from({ length: 48 }, (_, x) => [x, x + 1, 0, 36]).flat();
  assert.throws(() => runSync(reader.read([columns])), /enough/);
  assert.ok(visited <= 1_000_000 + 50_001 + 1, String(visited));
});

test('a region pauses between rows of cells and after each batch, also an empty one', () => {
  const fine: Grid = {
    rows: 512,
    columns: 512,
    stride: 32,
    cellToPixel: { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 },
  };
  assert.ok([...regionWeights([fine], [[0, 512, 0, 512]])].length >= 6);
  assert.equal([...regionWeights([grid], [[], [], [0, 9, 0, 9]])].length, 3);
});
