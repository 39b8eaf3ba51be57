import type { Grid } from '../image/geometry.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { type CellSpan, columnsUnder, rowsUnder, shareOf } from './cellSpans.js';
import { FeatureOpError } from './featureOpError.js';
import type { Runs } from './maskRuns.js';

/** The cells under one region. */
export interface RegionWeights {
  /** Indices of the cells, row-major. */
  readonly cells: readonly number[];
  /** The share of the covered area in each cell; they sum to 1. Empty if no cell is covered. */
  readonly weights: readonly number[];
  /** The share of the region's area that lies on cells, 0 to 1. */
  readonly coverage: number;
}

/** Cells visited between two pauses, in addition to the pauses between batches: a few milliseconds. */
const VISITS_PER_STEP = 50_000;

/** What a region covers of one grid. */
class Cover {
  readonly grid: Grid;
  readonly cellArea: number;
  /** Covered area of every cell, in square pixels. */
  readonly areas: Float64Array;
  /** Cells with area. */
  readonly cells: number[] = [];

  constructor(grid: Grid) {
    this.grid = grid;
    const { rows, columns, cellToPixel } = grid;
    this.cellArea = Math.abs(cellToPixel.scaleX * cellToPixel.scaleY);
    this.areas = new Float64Array(rows * columns);
  }

  /** Adds a part of one row of cells. @param height covered, in cells */
  add(row: number, height: number, columns: CellSpan): void {
    const { areas, cells, cellArea } = this;
    const start = row * this.grid.columns;
    for (let column = columns.first; column < columns.end; column++) {
      const area = height * shareOf(columns, column) * cellArea;
      if (area === 0) continue;
      const before = areas[start + column]!;
      if (before === 0) cells.push(start + column);
      areas[start + column] = before + area;
    }
  }

  /** @param whole area of the region in square pixels */
  weights(whole: number): RegionWeights {
    const { areas, cells } = this;
    const covered = cells.reduce((sum, cell) => sum + areas[cell]!, 0);
    return {
      cells,
      weights: cells.map((cell) => areas[cell]! / covered),
      coverage: Math.min(1, covered / whole),
    };
  }
}

/**
 * Weights of the cells under a region, for each grid. Pauses every few milliseconds.
 * @param runs the region; read once
 * @throws FeatureOpError `bad_region` for a region without area.
 */
export function* regionWeights(grids: readonly Grid[], runs: Runs): Generator<void, RegionWeights[]> {
  const covers = grids.map((grid) => new Cover(grid));
  let whole = 0;
  for (const batch of runs) {
    let visits = 0;
    for (let i = 0; i < batch.length; i += 4) {
      const [left, right, top, bottom] = [batch[i]!, batch[i + 1]!, batch[i + 2]!, batch[i + 3]!];
      whole += (right - left) * (bottom - top);
      for (const cover of covers) {
        const columns = columnsUnder(cover.grid, left, right);
        const rows = rowsUnder(cover.grid, top, bottom);
        visits++;
        for (let row = rows.first; row < rows.end; row++) {
          cover.add(row, shareOf(rows, row), columns);
          visits += columns.end - columns.first;
          if (visits < VISITS_PER_STEP) continue;
          visits = 0;
          yield;
        }
      }
    }
    yield;
  }
  if (!(whole > 0)) throw new FeatureOpError('bad_region', 'has no area');
  return covers.map((cover) => cover.weights(whole));
}

/** Multiplications between two pauses: a few milliseconds. */
const PRODUCTS_PER_STEP = 4_000_000;

/**
 * Weighted means [R, C] of a map's vectors [rows, columns, C], one for each region. A region without cells gives zeros. Pauses
 * every few milliseconds.
 */
export function* poolRegions(
  map: Tensor<'float32'>,
  regions: readonly RegionWeights[],
): Generator<void, Tensor<'float32'>> {
  const channels = map.shape.at(-1) ?? 0;
  const pooled = new Float32Array(regions.length * channels);
  const sum = new Float64Array(channels);
  let products = 0;
  for (const [region, { cells, weights }] of regions.entries()) {
    sum.fill(0);
    for (const [i, cell] of cells.entries()) {
      const weight = weights[i]!;
      const start = cell * channels;
      for (let k = 0; k < channels; k++) sum[k]! += weight * map.data[start + k]!;
      products += channels;
      if (products < PRODUCTS_PER_STEP) continue;
      products = 0;
      yield;
    }
    pooled.set(sum, region * channels);
  }
  return tensor('float32', [regions.length, channels], pooled);
}
