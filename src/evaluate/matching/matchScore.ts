import { cropToOriginal } from '../../image/crop.js';
import { composeMaps, invertMap, mapPoint } from '../../image/geometry.js';
import type { Crop } from '../../image/types.js';

/** The cells of two views and the crops of one original that they show. */
export interface ViewPair {
  readonly source: Crop;
  readonly target: Crop;
  readonly rows: number;
  readonly columns: number;
}

/** Where a source cell truly lies in the target view. */
export interface TruePlace {
  /** Column and row in cells of the target, 0 at its edge: the centre of cell (c, r) is (c + 1/2, r + 1/2). */
  readonly column: number;
  readonly row: number;
  /** Whether the place lies inside the target view. */
  readonly visible: boolean;
}

/** Room for the rounding of coordinates, in cells. */
const EPSILON = 1e-6;

/** The true places of all source cells, row-major: cell centre -> original pixels -> cells of the target. */
export function truePlaces({ source, target, rows, columns }: ViewPair): TruePlace[] {
  // Both maps take one cell for one pixel of a view of `columns` x `rows` pixels.
  const size = { width: columns, height: rows };
  const map = composeMaps(invertMap(cropToOriginal(target, size)), cropToOriginal(source, size));
  return Array.from({ length: rows * columns }, (_, cell) => {
    const { x, y } = mapPoint(map, (cell % columns) + 0.5, Math.floor(cell / columns) + 0.5);
    const inside = (value: number, end: number) => value >= -EPSILON && value <= end + EPSILON;
    return { column: x, row: y, visible: inside(x, columns) && inside(y, rows) };
  });
}

/**
 * Whether the centre of a target cell lies within `tolerance` cells of the true place, by the larger of the row and
 * the column difference (Chebyshev). A place outside the target view is missed by every cell, even by a near one.
 */
export function isWithin(place: TruePlace, targetCell: number, columns: number, tolerance: number): boolean {
  const column = (targetCell % columns) + 0.5;
  const row = Math.floor(targetCell / columns) + 0.5;
  const distance = Math.max(Math.abs(place.column - column), Math.abs(place.row - row));
  return place.visible && distance <= tolerance + EPSILON;
}

/** Share of all (source, target) pairs of cells that count as right: what matching by chance reaches. */
export function chanceShare(places: readonly TruePlace[], columns: number, tolerance: number): number {
  let right = 0;
  for (const place of places) {
    for (let cell = 0; cell < places.length; cell++) if (isWithin(place, cell, columns, tolerance)) right++;
  }
  return right / places.length ** 2;
}
