import type { Grid__Output } from '../proto/generated/vicregl/v1/Grid.js';
import { VicreglError } from './vicreglError.js';

/** The cells of a map and their positions in the original image. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  /** Distance of adjacent cells in pixels of the network input; with `upsample`, of the cells of the map that was enlarged. */
  readonly stride: number;
  /** Row and column of the whole map at which this grid starts; above 0 only if the request had a region. */
  readonly firstRow: number;
  readonly firstColumn: number;
  /** x = offsetX + scaleX * (column + 0.5), y = offsetY + scaleY * (row + 0.5), pixels of the original. */
  readonly cellToPixel: {
    readonly scaleX: number;
    readonly scaleY: number;
    readonly offsetX: number;
    readonly offsetY: number;
  };
  /** Size of the original in pixels, after EXIF orientation; absent for a crop without pixels. */
  readonly original?: { readonly width: number; readonly height: number };
}

/** The centre of a cell in pixels of the original. */
export function cellCentre(grid: Grid, row: number, column: number): { readonly x: number; readonly y: number } {
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  return { x: offsetX + scaleX * (column + 0.5), y: offsetY + scaleY * (row + 0.5) };
}

/** @throws VicreglError `INTERNAL` if the response has no grid. */
export function readGrid(message: Grid__Output | null): Grid {
  if (!message?.cellToPixel) throw new VicreglError('INTERNAL', 'the response has no grid');
  const { rows, columns, stride, firstRow, firstColumn, cellToPixel, originalWidth, originalHeight } = message;
  return {
    rows,
    columns,
    stride,
    firstRow,
    firstColumn,
    cellToPixel,
    ...(originalWidth > 0 && { original: { width: originalWidth, height: originalHeight } }),
  };
}
