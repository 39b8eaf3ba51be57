import { composePixelMaps } from '../../image/geometry.js';
import type { PixelMap } from '../../image/types.js';
import type { Grid } from '../../proto/generated/vicregl/v1/Grid.js';

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

/** The grid as responses carry it: its map starts at the edge of cell (0, 0), in cells. */
export function gridMessage(grid: CellGrid): Grid {
  const { rows, cols, stride, toOriginal, original } = grid;
  return {
    rows,
    columns: cols,
    stride,
    cellToPixel: composePixelMaps(toOriginal, { scaleX: stride, scaleY: stride, offsetX: 0, offsetY: 0 }),
    originalWidth: original?.width ?? 0,
    originalHeight: original?.height ?? 0,
  };
}
