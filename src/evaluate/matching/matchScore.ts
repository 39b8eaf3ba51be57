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

/** The true position of a source cell's centre in the target view. */
export interface TruePosition {
  /** Column and row in cells of the target, 0 at its edge: the centre of cell (c, r) is (c + 1/2, r + 1/2). */
  readonly column: number;
  readonly row: number;
  /** Whether the position lies inside the target view. */
  readonly visible: boolean;
}

/** Tolerance for the rounding of coordinates, in cells. */
const EPSILON = 1e-6;

/** The true positions of all source cells, row-major: cell centre -> original pixels -> cells of the target. */
export function truePositions({ source, target, rows, columns }: ViewPair): TruePosition[] {
  // For both maps, one cell is one pixel of a view of `columns` x `rows` pixels.
  const size = { width: columns, height: rows };
  const map = composeMaps(invertMap(cropToOriginal(target, size)), cropToOriginal(source, size));
  return Array.from({ length: rows * columns }, (_, cell) => {
    const { x, y } = mapPoint(map, (cell % columns) + 0.5, Math.floor(cell / columns) + 0.5);
    const inside = (value: number, end: number) => value >= -EPSILON && value <= end + EPSILON;
    return { column: x, row: y, visible: inside(x, columns) && inside(y, rows) };
  });
}

/**
 * Whether the centre of a target cell lies within `tolerance` cells of the true position, by the larger of the row and
 * the column difference (Chebyshev). A position outside the target view is missed by every cell, even by a near one.
 */
export function isWithin(position: TruePosition, targetCell: number, columns: number, tolerance: number): boolean {
  const column = (targetCell % columns) + 0.5;
  const row = Math.floor(targetCell / columns) + 0.5;
  const distance = Math.max(Math.abs(position.column - column), Math.abs(position.row - row));
  return position.visible && distance <= tolerance + EPSILON;
}

/** Share of all (source, target) pairs of cells that count as correct: what random matches reach. */
export function chanceShare(positions: readonly TruePosition[], columns: number, tolerance: number): number {
  let correct = 0;
  for (const position of positions) {
    for (let cell = 0; cell < positions.length; cell++) if (isWithin(position, cell, columns, tolerance)) correct++;
  }
  return correct / positions.length ** 2;
}
