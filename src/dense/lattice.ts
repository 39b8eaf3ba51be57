import type { PixelMap } from '../image/types.js';

/** The cells of a map as rectangles of the original image. */
export interface Lattice {
  readonly rows: number;
  readonly cols: number;
  /** From (column, row), counted from the top left edge of cell (0, 0), to the original's pixels. */
  readonly cellToPixel: PixelMap;
}

/** A rectangle by its edges, in the original's pixels. */
export interface Box {
  readonly left: number;
  readonly top: number;
  readonly right: number;
  readonly bottom: number;
}

/** Consecutive cells along one axis, with the part of each that is covered. */
export interface Span {
  /** First covered cell. */
  readonly first: number;
  /** Cell after the last covered one; `first` where none is. */
  readonly end: number;
  /** Begin and end of the covered part, in cells. */
  readonly from: number;
  readonly to: number;
}

/** What rounding may add to an edge that lies on the border of two cells, in cells. */
const ROUNDING = 1e-9;

function spanOf(low: number, high: number, scale: number, offset: number, cells: number): Span {
  const [a, b] = [(low - offset) / scale, (high - offset) / scale];
  const from = Math.max(0, Math.min(a, b));
  const to = Math.min(cells, Math.max(a, b));
  if (to - from <= ROUNDING) return { first: 0, end: 0, from: 0, to: 0 };
  return { first: Math.floor(from + ROUNDING), end: Math.ceil(to - ROUNDING), from, to };
}

/** The columns of cells between two edges. */
export function columnsUnder({ cols, cellToPixel }: Lattice, left: number, right: number): Span {
  return spanOf(left, right, cellToPixel.scaleX, cellToPixel.offsetX, cols);
}

/** The rows of cells between two edges. */
export function rowsUnder({ rows, cellToPixel }: Lattice, top: number, bottom: number): Span {
  return spanOf(top, bottom, cellToPixel.scaleY, cellToPixel.offsetY, rows);
}

/** How much of a cell a span covers, 0 to 1. */
export function shareOf(span: Span, cell: number): number {
  return Math.max(0, Math.min(span.to, cell + 1) - Math.max(span.from, cell));
}
