import type { Lattice } from '../../../dense/lattice.js';
import { type Window, windowLattice } from '../../../dense/part.js';
import { composePixelMaps } from '../../../image/geometry.js';
import type { PixelMap } from '../../../image/types.js';
import type { Grid } from '../../../proto/generated/vicregl/v1/Grid.js';

/** The cells of one network input and their way back to the original image. */
export interface CellGrid {
  readonly rows: number;
  readonly cols: number;
  /** Input pixels from one cell to the next. */
  readonly stride: number;
  /** From the network input to the original. */
  readonly toOriginal: PixelMap;
  /** Size of the original in pixels; absent where only a crop of it is known. */
  readonly original?: { readonly width: number; readonly height: number };
}

/** The grid of an input of a given size; sides are multiples of the stride. */
export function gridOf(
  input: {
    readonly image: { readonly width: number; readonly height: number };
    readonly toOriginal: PixelMap;
    readonly original?: { readonly width: number; readonly height: number };
  },
  stride: number,
): CellGrid {
  return {
    rows: input.image.height / stride,
    cols: input.image.width / stride,
    stride,
    toOriginal: input.toOriginal,
    ...(input.original && { original: input.original }),
  };
}

/** Bytes of the float32 map of a grid's cells, [rows, cols, channels]. */
export const bytesOfMap = ({ rows, cols }: Pick<CellGrid, 'rows' | 'cols'>, channels: number): number =>
  rows * cols * channels * 4;

/** The cells as rectangles of the original. */
export function latticeOf({ rows, cols, stride, toOriginal }: CellGrid): Lattice {
  const cells = { scaleX: stride, scaleY: stride, offsetX: 0, offsetY: 0 };
  return { rows, cols, cellToPixel: composePixelMaps(toOriginal, cells) };
}

/**
 * The grid as responses carry it: its map starts at the edge of cell (0, 0), in cells.
 * @param window the cells that are sent, where they are not all
 */
export function gridMessage(grid: CellGrid, window?: Window): Grid {
  const { stride, original } = grid;
  const whole = latticeOf(grid);
  const { rows, cols, cellToPixel } = window ? windowLattice(whole, window) : whole;
  return {
    rows,
    columns: cols,
    stride,
    cellToPixel,
    originalWidth: original?.width ?? 0,
    originalHeight: original?.height ?? 0,
    firstRow: window?.firstRow ?? 0,
    firstColumn: window?.firstColumn ?? 0,
  };
}
