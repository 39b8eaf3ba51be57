import type { Window } from '../../../featureOps/selectCells.js';
import type { Grid } from '../../../image/geometry.js';
import type { Grid as GridMessage } from '../../../proto/generated/vicregl/v1/Grid.js';

/** Bytes of the float32 map of a grid's cells, [rows, columns, channels]. */
export const bytesOfMap = ({ rows, columns }: Pick<Grid, 'rows' | 'columns'>, channels: number): number =>
  rows * columns * channels * 4;

/**
 * The message of a grid.
 * @param window the position of the grid's cells in the whole map, if they are only a part of it
 */
export function gridMessage({ rows, columns, stride, cellToPixel, original }: Grid, window?: Window): GridMessage {
  return {
    rows,
    columns,
    stride,
    cellToPixel,
    originalWidth: original?.width ?? 0,
    originalHeight: original?.height ?? 0,
    firstRow: window?.firstRow ?? 0,
    firstColumn: window?.firstColumn ?? 0,
  };
}
