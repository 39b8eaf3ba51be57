/** Maps between cells, network input and original image, all in edge coordinates (see `AffineMap`). */

import type { AffineMap, Size } from './types.js';

/** The cells of a feature map and where they lie in the original image. */
export interface Grid {
  readonly rows: number;
  readonly columns: number;
  /** Network-input pixels from one cell to the next. */
  readonly stride: number;
  /**
   * From cells to the original's pixels: the top left corner of cell (row, column) is the point (column, row), its centre
   * (column + 1/2, row + 1/2).
   */
  readonly cellToPixel: AffineMap;
  /** Size of the original; absent if only a crop of it is known. */
  readonly original?: Size;
}

/** Maps a point. */
export function mapPoint(map: AffineMap, x: number, y: number): { readonly x: number; readonly y: number } {
  return { x: x * map.scaleX + map.offsetX, y: y * map.scaleY + map.offsetY };
}

/** The map that first applies `inner` and then `outer`: outer(inner(point)). */
export function composeMaps(outer: AffineMap, inner: AffineMap): AffineMap {
  return {
    scaleX: outer.scaleX * inner.scaleX,
    scaleY: outer.scaleY * inner.scaleY,
    offsetX: outer.scaleX * inner.offsetX + outer.offsetX,
    offsetY: outer.scaleY * inner.offsetY + outer.offsetY,
  };
}

/**
 * The inverse map.
 * @throws RangeError if a scale is 0.
 */
export function invertMap(map: AffineMap): AffineMap {
  if (map.scaleX === 0 || map.scaleY === 0) {
    throw new RangeError(`a map with scale (${map.scaleX}, ${map.scaleY}) has no inverse; scales must not be 0`);
  }
  return {
    scaleX: 1 / map.scaleX,
    scaleY: 1 / map.scaleY,
    offsetX: -map.offsetX / map.scaleX,
    offsetY: -map.offsetY / map.scaleY,
  };
}

/**
 * The grid of a network input.
 * @param input its size, a multiple of the stride, and its position in the original
 * @param stride network-input pixels from one cell to the next
 */
export function gridOf(
  input: { readonly image: Size; readonly toOriginal: AffineMap; readonly original?: Size },
  stride: number,
): Grid {
  return {
    rows: input.image.height / stride,
    columns: input.image.width / stride,
    stride,
    cellToPixel: composeMaps(input.toOriginal, { scaleX: stride, scaleY: stride, offsetX: 0, offsetY: 0 }),
    ...(input.original && { original: input.original }),
  };
}

/**
 * Centres of all cells in the original's pixels.
 * @returns [rows * columns, 2], row-major, each (x, y)
 */
export function cellCentres({
  rows,
  columns,
  cellToPixel,
}: Pick<Grid, 'rows' | 'columns' | 'cellToPixel'>): Float64Array {
  const { scaleX, scaleY } = cellToPixel;
  const first = mapPoint(cellToPixel, 0.5, 0.5);
  const centres = new Float64Array(rows * columns * 2);
  for (let row = 0; row < rows; row++) {
    for (let column = 0; column < columns; column++) {
      const at = (row * columns + column) * 2;
      centres[at] = column * scaleX + first.x;
      centres[at + 1] = row * scaleY + first.y;
    }
  }
  return centres;
}
