import type { Grid__Output } from '../../src/proto/generated/vicregl/v1/Grid.js';

/** The grid that a caller sends with its features. Cells have 8 pixels. */
export function sentGrid(rows: number, columns: number): Grid__Output {
  return {
    rows,
    columns,
    stride: 8,
    originalWidth: 0,
    originalHeight: 0,
    firstRow: 0,
    firstColumn: 0,
    cellToPixel: { scaleX: 8, scaleY: 8, offsetX: 0, offsetY: 0 },
  };
}
