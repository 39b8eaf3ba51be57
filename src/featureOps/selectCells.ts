import type { Grid } from '../image/geometry.js';
import type { Box } from '../image/types.js';
import { forEachSlice } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { columnsUnder, rowsUnder } from './cellSpans.js';
import { FeatureOpError } from './featureOpError.js';

/** A rectangle of cells of a map. */
export interface Window {
  readonly firstRow: number;
  readonly firstColumn: number;
  readonly rows: number;
  readonly columns: number;
}

/**
 * The cells that overlap a box.
 * @param box in the original's pixels
 * @throws FeatureOpError `bad_region` if no cell does.
 */
export function windowUnder(grid: Grid, box: Box): Window {
  const columns = columnsUnder(grid, box.left, box.right);
  const rows = rowsUnder(grid, box.top, box.bottom);
  if (columns.end > columns.first && rows.end > rows.first) {
    return {
      firstRow: rows.first,
      firstColumn: columns.first,
      rows: rows.end - rows.first,
      columns: columns.end - columns.first,
    };
  }
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  const sides = [offsetX, offsetX + scaleX * grid.columns].sort((a, b) => a - b).map((x) => x.toFixed(1));
  const bottom = offsetY + scaleY * grid.rows;
  throw new FeatureOpError(
    'bad_region',
    `[${box.left}, ${box.right}) x [${box.top}, ${box.bottom}) pixels covers no cell; the network saw ` +
      `[${sides.join(', ')}) x [${offsetY.toFixed(1)}, ${bottom.toFixed(1)}) (x, then y) of the original`,
  );
}

/** The vectors of a window: [h, w, C] of [rows, columns, C]. Pauses every few milliseconds. */
export function* cutWindow(map: Tensor<'float32'>, window: Window): Generator<void, Tensor<'float32'>> {
  const [, columns = 0, channels = 0] = map.shape;
  const width = window.columns * channels;
  const cut = new Float32Array(window.rows * width);
  yield* forEachSlice(window.rows, width, (first, end) => {
    for (let row = first; row < end; row++) {
      const start = ((window.firstRow + row) * columns + window.firstColumn) * channels;
      cut.set(map.data.subarray(start, start + width), row * width);
    }
  });
  return tensor('float32', [window.rows, window.columns, channels], cut);
}

/** The grid of the cells of a window. */
export function windowGrid(grid: Grid, { firstRow, firstColumn, rows, columns }: Window): Grid {
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  return {
    ...grid,
    rows,
    columns,
    cellToPixel: { scaleX, scaleY, offsetX: offsetX + scaleX * firstColumn, offsetY: offsetY + scaleY * firstRow },
  };
}

/**
 * Checks that cells lie in a map.
 * @throws FeatureOpError `bad_region` naming the first that does not.
 */
export function checkCells(
  { rows, columns }: Pick<Grid, 'rows' | 'columns'>,
  cells: readonly { readonly row: number; readonly column: number }[],
): void {
  const at = cells.findIndex(({ row, column }) => row >= rows || column >= columns);
  if (at === -1) return;
  const { row, column } = cells[at]!;
  throw new FeatureOpError(
    'bad_region',
    `[${at}]: row ${row}, column ${column} is outside the map of ${rows} x ${columns} cells (rows x columns, from 0)`,
  );
}

/**
 * The vectors of some cells: [N, C] of [rows, columns, C], in the order of the cells. Pauses every few milliseconds.
 */
export function* pickCells(
  map: Tensor<'float32'>,
  cells: readonly { readonly row: number; readonly column: number }[],
): Generator<void, Tensor<'float32'>> {
  const [, columns = 0, channels = 0] = map.shape;
  const picked = new Float32Array(cells.length * channels);
  yield* forEachSlice(cells.length, channels, (first, end) => {
    for (let i = first; i < end; i++) {
      const { row, column } = cells[i]!;
      const start = (row * columns + column) * channels;
      picked.set(map.data.subarray(start, start + channels), i * channels);
    }
  });
  return tensor('float32', [cells.length, channels], picked);
}
