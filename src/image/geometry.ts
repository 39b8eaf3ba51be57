/** Geometry between cells, network input and original image, all in pixel-edge coordinates (x right, y down). */

import type { PixelMap } from './types.js';

/** The map that leaves every point where it is. */
export const identityPixelMap: PixelMap = { scaleX: 1, scaleY: 1, offsetX: 0, offsetY: 0 };

/**
 * Maps a cell's indices to its centre in the original image's pixels:
 * x = column * scaleX + offsetX, y = row * scaleY + offsetY. The offsets are the centre of cell (0, 0).
 */
export interface CellMap {
  readonly scaleX: number;
  readonly scaleY: number;
  readonly offsetX: number;
  readonly offsetY: number;
}

/** A point mapped. */
export function mapPoint(map: PixelMap, x: number, y: number): { readonly x: number; readonly y: number } {
  return { x: x * map.scaleX + map.offsetX, y: y * map.scaleY + map.offsetY };
}

/** The map that first applies `inner` and then `outer`: outer(inner(point)). */
export function composePixelMaps(outer: PixelMap, inner: PixelMap): PixelMap {
  return {
    scaleX: outer.scaleX * inner.scaleX,
    scaleY: outer.scaleY * inner.scaleY,
    offsetX: outer.scaleX * inner.offsetX + outer.offsetX,
    offsetY: outer.scaleY * inner.offsetY + outer.offsetY,
  };
}

/**
 * The map back, from the original image to the network input.
 * @throws RangeError where a scale is 0.
 */
export function invertPixelMap(map: PixelMap): PixelMap {
  if (map.scaleX === 0 || map.scaleY === 0) {
    throw new RangeError(`a pixel map with scale (${map.scaleX}, ${map.scaleY}) has no inverse; scales must not be 0`);
  }
  return {
    scaleX: 1 / map.scaleX,
    scaleY: 1 / map.scaleY,
    offsetX: -map.offsetX / map.scaleX,
    offsetY: -map.offsetY / map.scaleY,
  };
}

/**
 * Composes a pixel map with the cells of a feature map: the centre of cell (column, row) lies at
 * ((column + 1/2) * stride, (row + 1/2) * stride) of the network input.
 * @param stride input pixels from one cell to the next
 */
export function cellToOriginal(map: PixelMap, stride: number): CellMap {
  return composePixelMaps(map, { scaleX: stride, scaleY: stride, offsetX: stride / 2, offsetY: stride / 2 });
}

/**
 * Centres of all cells in the original image's pixels.
 * @returns [rows * cols, 2], row-major, each (x, y)
 */
export function cellCentres(rows: number, cols: number, stride: number, map: PixelMap): Float32Array {
  const cells = cellToOriginal(map, stride);
  const centres = new Float32Array(rows * cols * 2);
  for (let row = 0; row < rows; row++) {
    for (let col = 0; col < cols; col++) {
      const at = (row * cols + col) * 2;
      centres[at] = col * cells.scaleX + cells.offsetX;
      centres[at + 1] = row * cells.scaleY + cells.offsetY;
    }
  }
  return centres;
}
