import type { Size } from '../../image/types.js';
import type { CellFeatures, Match } from '../../match/features.js';

/**
 * Positions of matches below a cell. The target map is upsampled bilinearly to the size of its input, and the match moves to the
 * pixel with the most similar vector (cosine), at most one cell from the cell that was matched. Dense features are compared in
 * this way in DIFT (Tang and others 2023, arXiv 2306.03881); to search only around the coarse match follows LoFTR (Sun and
 * others 2021, arXiv 2104.00680).
 */

/** A position in pixels of the target's input, 0 at its edge: the centre of the first pixel is (0.5, 0.5). */
export interface RefinedPosition {
  readonly x: number;
  readonly y: number;
}

/** Where the centres of pixels lie between the centres of cells, along one axis. */
interface Axis {
  /** The cell before each pixel, at most the last but one. */
  readonly cell: Int32Array;
  /** Weight of the cell after it, 0..1. */
  readonly weight: Float64Array;
  /** Pixels per cell. */
  readonly stride: number;
}

/** PyTorch's bilinear interpolation with align_corners=False: beyond the outer centres the outer cells continue. */
function axisOf(pixels: number, cells: number): Axis {
  const stride = pixels / cells;
  const cell = new Int32Array(pixels);
  const weight = new Float64Array(pixels);
  for (let i = 0; i < pixels; i++) {
    const at = Math.min(cells - 1, Math.max(0, (i + 0.5) / stride - 0.5));
    cell[i] = Math.max(0, Math.min(cells - 2, Math.floor(at)));
    weight[i] = at - cell[i]!;
  }
  return { cell, weight, stride };
}

function dot(a: Float32Array, from: number, b: Float32Array, to: number, channels: number): number {
  let sum = 0;
  for (let k = 0; k < channels; k++) sum += a[from + k]! * b[to + k]!;
  return sum;
}

/** The four cells around a pixel, as offsets from the first in (row, column). */
const CORNERS = [
  [0, 0],
  [0, 1],
  [1, 0],
  [1, 1],
] as const;

/** The index of the corner cell; a map with one row or column repeats it. */
function corner({ rows, columns }: CellFeatures, row: number, column: number, at: number): number {
  const [down, right] = CORNERS[at]!;
  return Math.min(rows - 1, row + down) * columns + Math.min(columns - 1, column + right);
}

/** Products of the four vectors around every place between cells: [rows, columns, 4, 4]. */
function grams(map: CellFeatures): Float64Array {
  const { rows, columns, channels, data } = map;
  const result = new Float64Array(rows * columns * 16);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * 16;
      for (let i = 0; i < 4; i++) {
        for (let j = i; j < 4; j++) {
          const [a, b] = [corner(map, row, column, i), corner(map, row, column, j)];
          const product = dot(data, a * channels, data, b * channels, channels);
          result[at + i * 4 + j] = product;
          result[at + j * 4 + i] = product;
        }
      }
    }
  }
  return result;
}

function weights(x: number, y: number): [number, number, number, number] {
  return [(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y];
}

/**
 * The refined positions of matches. The upsampled map is never formed: products with interpolated vectors are interpolated
 * products, and their lengths follow from the products of neighbouring cells.
 * @param source map with the sources of the matches
 * @param target map with their targets, of the same channels
 * @param size of the target's input in pixels
 * @returns one position for each match; ties go to the upper, then to the left pixel
 */
export function refinedPositions(
  source: CellFeatures,
  target: CellFeatures,
  matches: readonly Pick<Match, 'source' | 'target'>[],
  size: Size,
): RefinedPosition[] {
  const { rows, columns, channels } = target;
  const [across, down] = [axisOf(size.width, columns), axisOf(size.height, rows)];
  const gram = grams(target);
  const length = (cell: number, w: readonly number[]): number => {
    let squared = 0;
    for (let i = 0; i < 4; i++) for (let j = 0; j < 4; j++) squared += w[i]! * w[j]! * gram[cell * 16 + i * 4 + j]!;
    return Math.sqrt(Math.max(0, squared));
  };
  const lengths = new Float64Array(size.width * size.height);
  for (let y = 0; y < size.height; y++) {
    for (let x = 0; x < size.width; x++) {
      const cell = down.cell[y]! * columns + across.cell[x]!;
      lengths[y * size.width + x] = length(cell, weights(across.weight[x]!, down.weight[y]!));
    }
  }
  const products = new Float64Array(rows * columns);
  return matches.map(({ source: from, target: to }) => {
    for (let cell = 0; cell < products.length; cell++) {
      products[cell] = dot(source.data, from * channels, target.data, cell * channels, channels);
    }
    // Pixels whose centres are at most one cell from the centre of the matched cell.
    const [row, column] = [Math.floor(to / columns), to % columns];
    const top = Math.max(0, Math.ceil((row - 0.5) * down.stride - 0.5));
    const bottom = Math.min(size.height - 1, Math.floor((row + 1.5) * down.stride - 0.5));
    const left = Math.max(0, Math.ceil((column - 0.5) * across.stride - 0.5));
    const right = Math.min(size.width - 1, Math.floor((column + 1.5) * across.stride - 0.5));
    let best = Number.NEGATIVE_INFINITY;
    let found: RefinedPosition = { x: (column + 0.5) * across.stride, y: (row + 0.5) * down.stride };
    for (let y = top; y <= bottom; y++) {
      for (let x = left; x <= right; x++) {
        const norm = lengths[y * size.width + x]!;
        if (norm === 0) continue;
        const w = weights(across.weight[x]!, down.weight[y]!);
        let product = 0;
        for (let i = 0; i < 4; i++) product += w[i]! * products[corner(target, down.cell[y]!, across.cell[x]!, i)]!;
        const similarity = product / norm;
        if (similarity > best) {
          best = similarity;
          found = { x: x + 0.5, y: y + 0.5 };
        }
      }
    }
    return found;
  });
}
