import { type Tensor, tensor } from '../tensor/tensor.js';
import { DenseError } from './denseError.js';
import { columnsUnder, type Lattice, rowsUnder, shareOf } from './lattice.js';
import type { Runs } from './mask.js';

/** The cells that one region covers. */
export interface RegionWeights {
  /** Indices of the cells, row-major. */
  readonly cells: readonly number[];
  /** The share of the region's covered area that lies in each; they sum to 1. Empty where no cell is covered. */
  readonly weights: readonly number[];
  /** The share of the region's whole area on which there are cells, 0 to 1. */
  readonly coverage: number;
}

/** Rectangles and cells under them between two pauses: some milliseconds. */
const VISITS_PER_STEP = 50_000;

/**
 * Weights of the cells under a region. Pauses (yields) every few milliseconds.
 * @param runs the region, as rectangles that do not overlap
 * @throws DenseError `bad_region` for a region without area.
 */
export function* regionWeights(lattice: Lattice, runs: Runs): Generator<void, RegionWeights> {
  const { scaleX, scaleY } = lattice.cellToPixel;
  const cellArea = Math.abs(scaleX * scaleY);
  const areas = new Map<number, number>();
  let covered = 0;
  let whole = 0;
  let visits = 0;
  for (const box of runs) {
    whole += (box.right - box.left) * (box.bottom - box.top);
    const columns = columnsUnder(lattice, box);
    const rows = rowsUnder(lattice, box);
    visits += 1 + (rows.end - rows.first) * (columns.end - columns.first);
    if (visits > VISITS_PER_STEP) {
      visits = 0;
      yield;
    }
    for (let row = rows.first; row < rows.end; row++) {
      const height = shareOf(rows, row);
      for (let column = columns.first; column < columns.end; column++) {
        const area = height * shareOf(columns, column) * cellArea;
        const cell = row * lattice.cols + column;
        areas.set(cell, (areas.get(cell) ?? 0) + area);
        covered += area;
      }
    }
  }
  if (!(whole > 0)) throw new DenseError('bad_region', 'has no area');
  return {
    cells: [...areas.keys()],
    weights: Array.from(areas.values(), (area) => area / covered),
    coverage: Math.min(1, covered / whole),
  };
}

/** Products between two pauses: some milliseconds. */
const PRODUCTS_PER_STEP = 4_000_000;

/**
 * Weighted means of a map's vectors [rows, cols, C], one for each region: [R, C]. A region without cells gives zeros.
 * Pauses (yields) every few milliseconds.
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
