import { inSlices } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { DenseError } from './denseError.js';
import { type Box, columnsUnder, type Lattice, rowsUnder } from './lattice.js';

/** A rectangle of cells. */
export interface Window {
  readonly firstRow: number;
  readonly firstColumn: number;
  readonly rows: number;
  readonly cols: number;
}

/**
 * The cells that share area with a box.
 * @throws DenseError `bad_region` where none does.
 */
export function windowUnder(lattice: Lattice, box: Box): Window {
  const columns = columnsUnder(lattice, box.left, box.right);
  const rows = rowsUnder(lattice, box.top, box.bottom);
  if (columns.end > columns.first && rows.end > rows.first) {
    return {
      firstRow: rows.first,
      firstColumn: columns.first,
      rows: rows.end - rows.first,
      cols: columns.end - columns.first,
    };
  }
  const { scaleX, scaleY, offsetX, offsetY } = lattice.cellToPixel;
  const sides = [offsetX, offsetX + scaleX * lattice.cols].sort((a, b) => a - b).map((x) => x.toFixed(1));
  const bottom = offsetY + scaleY * lattice.rows;
  throw new DenseError(
    'bad_region',
    `[${box.left}, ${box.right}) x [${box.top}, ${box.bottom}) pixels covers no cell; the network saw ` +
      `[${sides.join(', ')}) x [${offsetY.toFixed(1)}, ${bottom.toFixed(1)}) (x, then y) of the original`,
  );
}

/** The vectors of a rectangle of cells: [h, w, C] of [rows, cols, C]. Pauses (yields) every few milliseconds. */
export function* cutWindow(map: Tensor<'float32'>, window: Window): Generator<void, Tensor<'float32'>> {
  const [, cols = 0, channels = 0] = map.shape;
  const width = window.cols * channels;
  const cut = new Float32Array(window.rows * width);
  yield* inSlices(window.rows, width, (first, end) => {
    for (let row = first; row < end; row++) {
      const start = ((window.firstRow + row) * cols + window.firstColumn) * channels;
      cut.set(map.data.subarray(start, start + width), row * width);
    }
  });
  return tensor('float32', [window.rows, window.cols, channels], cut);
}

/**
 * The lattice of a rectangle of cells.
 */
export function windowLattice(lattice: Lattice, { firstRow, firstColumn, rows, cols }: Window): Lattice {
  const { scaleX, scaleY, offsetX, offsetY } = lattice.cellToPixel;
  return {
    rows,
    cols,
    cellToPixel: { scaleX, scaleY, offsetX: offsetX + scaleX * firstColumn, offsetY: offsetY + scaleY * firstRow },
  };
}

/**
 * Checks that cells lie in a map.
 * @throws DenseError `bad_region` naming the first that does not.
 */
export function checkCells(
  { rows, cols }: Pick<Lattice, 'rows' | 'cols'>,
  cells: readonly { readonly row: number; readonly column: number }[],
): void {
  const at = cells.findIndex(({ row, column }) => row >= rows || column >= cols);
  if (at === -1) return;
  const { row, column } = cells[at]!;
  throw new DenseError(
    'bad_region',
    `[${at}]: row ${row}, column ${column} is outside the map of ${rows} x ${cols} cells (rows x columns, from 0)`,
  );
}

/**
 * The vectors of some cells: [N, C] of [rows, cols, C], in the order of the cells. Pauses (yields) every few milliseconds.
 */
export function* pickCells(
  map: Tensor<'float32'>,
  cells: readonly { readonly row: number; readonly column: number }[],
): Generator<void, Tensor<'float32'>> {
  const [, cols = 0, channels = 0] = map.shape;
  const picked = new Float32Array(cells.length * channels);
  yield* inSlices(cells.length, channels, (first, end) => {
    for (let i = first; i < end; i++) {
      const { row, column } = cells[i]!;
      const start = (row * cols + column) * channels;
      picked.set(map.data.subarray(start, start + channels), i * channels);
    }
  });
  return tensor('float32', [cells.length, channels], picked);
}
