import type { Grid } from '../image/geometry.js';

/** Consecutive cells along one axis, and the part of them that is covered. */
export interface CellSpan {
  /** First covered cell. */
  readonly first: number;
  /** Cell after the last covered one; `first` where no cell is covered. */
  readonly end: number;
  /** Begin and end of the covered part, in cells. */
  readonly from: number;
  readonly to: number;
}

/** Largest rounding error, in cells, of an edge that lies on the border of two cells. */
const ROUNDING = 1e-9;

function spanOf(low: number, high: number, scale: number, offset: number, cells: number): CellSpan {
  const [a, b] = [(low - offset) / scale, (high - offset) / scale];
  const from = Math.max(0, Math.min(a, b));
  const to = Math.min(cells, Math.max(a, b));
  if (to - from <= ROUNDING) return { first: 0, end: 0, from: 0, to: 0 };
  return { first: Math.floor(from + ROUNDING), end: Math.ceil(to - ROUNDING), from, to };
}

/** The columns of cells between two edges, in the original's pixels. */
export function columnsUnder({ columns, cellToPixel }: Grid, left: number, right: number): CellSpan {
  return spanOf(left, right, cellToPixel.scaleX, cellToPixel.offsetX, columns);
}

/** The rows of cells between two edges, in the original's pixels. */
export function rowsUnder({ rows, cellToPixel }: Grid, top: number, bottom: number): CellSpan {
  return spanOf(top, bottom, cellToPixel.scaleY, cellToPixel.offsetY, rows);
}

/** The share of a cell that a span covers, 0 to 1. */
export function shareOf(span: CellSpan, cell: number): number {
  return Math.max(0, Math.min(span.to, cell + 1) - Math.max(span.from, cell));
}
