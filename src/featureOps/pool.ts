import type { Grid } from '../image/geometry.js';
import type { Box } from '../image/types.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { type CellSpan, columnsUnder, rowsUnder, shareOf } from './cellSpans.js';
import { FeatureOpError } from './featureOpError.js';
import type { Runs } from './maskRuns.js';

/** The cells under one region. Typed arrays: those of a request's regions are held while its image waits for a worker. */
export interface RegionWeights {
  /** Indices of the cells, row-major. */
  readonly cells: Uint32Array;
  /** The share of the covered area in each cell; they sum to 1. Empty if no cell is covered. */
  readonly weights: Float64Array;
  /** The share of the region's area that lies on cells, 0 to 1. */
  readonly coverage: number;
}

/** Bytes of RegionWeights for each cell. */
export const REGION_CELL_BYTES = 12;

/** Bytes of a RegionReader for each cell of its grids. */
export const READER_CELL_BYTES = 8;

/** Cells visited between two pauses, in addition to the pauses between batches: a few milliseconds. */
const VISITS_PER_STEP = 50_000;

/** What a region covers of one grid. */
class Cover {
  readonly grid: Grid;
  readonly cellArea: number;
  /** Covered area of every cell, in square pixels; 0 between regions. */
  readonly areas: Float64Array;
  /** Cells with area. */
  cells: number[] = [];

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

  /** The weights of what was added, which is then removed. @param whole area of the region in square pixels */
  take(whole: number): RegionWeights {
    const { areas } = this;
    const cells = Uint32Array.from(this.cells);
    const weights = new Float64Array(cells.length);
    let covered = 0;
    for (const cell of cells) covered += areas[cell]!;
    for (const [i, cell] of cells.entries()) {
      weights[i] = areas[cell]! / covered;
      areas[cell] = 0;
    }
    this.cells = [];
    return { cells, weights, coverage: Math.min(1, covered / whole) };
  }
}

/** Reads the regions of one image. What it needs for each cell of the grids is allocated once for all of them. */
export class RegionReader {
  readonly #covers: readonly Cover[];
  readonly #visited: (cells: number) => void;

  /**
   * @param visited called every few milliseconds with the number of cells visited since: a cell counts for each rectangle of a region
   *   that touches it. What it throws ends the reading, after which the reader is of no more use.
   */
  constructor(grids: readonly Grid[], visited: (cells: number) => void = () => {}) {
    this.#covers = grids.map((grid) => new Cover(grid));
    this.#visited = visited;
  }

  /**
   * Weights of the cells under a region, for each grid. Pauses every few milliseconds.
   * @param runs the region; read once
   * @throws FeatureOpError `bad_region` for a region without area.
   */
  *read(runs: Runs): Generator<void, RegionWeights[]> {
    let whole = 0;
    for (const batch of runs) {
      let visits = 0;
      for (let i = 0; i < batch.length; i += 4) {
        const [left, right, top, bottom] = [batch[i]!, batch[i + 1]!, batch[i + 2]!, batch[i + 3]!];
        whole += (right - left) * (bottom - top);
        for (const cover of this.#covers) {
          const columns = columnsUnder(cover.grid, left, right);
          const rows = rowsUnder(cover.grid, top, bottom);
          visits++;
          for (let row = rows.first; row < rows.end; row++) {
            cover.add(row, shareOf(rows, row), columns);
            visits += columns.end - columns.first;
            if (visits < VISITS_PER_STEP) continue;
            this.#visited(visits);
            visits = 0;
            yield;
          }
        }
      }
      this.#visited(visits);
      yield;
    }
    if (!(whole > 0)) throw new FeatureOpError('bad_region', 'has no area');
    return this.#covers.map((cover) => cover.take(whole));
  }
}

/** Number of cells of a grid that a rectangle in pixels of the original touches. */
export function cellsUnder(grid: Grid, { left, right, top, bottom }: Box): number {
  const [columns, rows] = [columnsUnder(grid, left, right), rowsUnder(grid, top, bottom)];
  return (columns.end - columns.first) * (rows.end - rows.first);
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
