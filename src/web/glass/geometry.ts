import type { CropRequest, GridJson, ModelJson } from './messages.js';
import type { Photo, Size } from './photo.js';

export interface Rectangle extends Size {
  readonly left: number;
  readonly top: number;
}

export interface CellIndex {
  readonly row: number;
  readonly column: number;
}

/** Size in pixels of a photograph, by what is known: of its file, else of the service's answer. */
export function sizeOf({ size }: Photo, grid?: GridJson): Size {
  if (size) return { width: size.width, height: size.height };
  return { width: grid?.originalWidth || 1, height: grid?.originalHeight || 1 };
}

/** Transform of the grid with the defaults of proto3. */
function transformOf({ cellToPixel: { scaleX = 0, scaleY = 0, offsetX = 0, offsetY = 0 } }: GridJson) {
  return { scaleX, scaleY, offsetX, offsetY };
}

/** The rectangle of a cell in pixels of the original. */
export function cellRectangle(grid: GridJson, { row, column }: CellIndex): Rectangle {
  const { scaleX, scaleY, offsetX, offsetY } = transformOf(grid);
  const x = offsetX + scaleX * column;
  return {
    left: Math.min(x, x + scaleX),
    top: offsetY + scaleY * row,
    width: Math.abs(scaleX),
    height: scaleY,
  };
}

/** Whether a map has a cell. */
export function hasCell({ rows, columns }: GridJson, { row, column }: CellIndex): boolean {
  return row >= 0 && row < rows && column >= 0 && column < columns;
}

/** The cell at a pixel of the original; undefined outside the map. */
export function cellAt(grid: GridJson, x: number, y: number): CellIndex | undefined {
  const { scaleX, scaleY, offsetX, offsetY } = transformOf(grid);
  const cell = { column: Math.floor((x - offsetX) / scaleX), row: Math.floor((y - offsetY) / scaleY) };
  return hasCell(grid, cell) ? cell : undefined;
}

/** The part of the original that the map covers. */
export function mapRectangle(grid: GridJson): Rectangle {
  const first = cellRectangle(grid, { row: 0, column: 0 });
  const last = cellRectangle(grid, { row: grid.rows - 1, column: grid.columns - 1 });
  const left = Math.min(first.left, last.left);
  return {
    left,
    top: first.top,
    width: Math.max(first.left + first.width, last.left + last.width) - left,
    height: last.top + last.height - first.top,
  };
}

export const DETAILS = {
  default: "model's own square",
  coarse: 'coarse (256 px)',
  medium: 'medium (512 px)',
  fine: 'fine (1024 px)',
} as const;

/** How large the network's input is. */
export type Detail = keyof typeof DETAILS;

const LONGEST: Readonly<Record<Exclude<Detail, 'default'>, number>> = { coarse: 256, medium: 512, fine: 1024 };

/** The `fit` of an image of this size: its longest side has about the length of the detail, both are multiples of the stride. */
export function fitOf({ width, height }: Size, detail: Detail, { stride = 32 }: Partial<ModelJson>): Size | undefined {
  if (detail === 'default') return undefined;
  const scale = LONGEST[detail] / Math.max(width, height);
  const side = (length: number): number => Math.max(1, Math.round((length * scale) / stride)) * stride;
  return { width: side(width), height: side(height) };
}

/** Keeps a crop inside a photograph, in whole pixels, at least one on each side. */
export function inside({ top, left, height, width, flip }: CropRequest, size: Size): CropRequest {
  const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, Math.round(value)));
  const l = clamp(left, 0, size.width - 1);
  const t = clamp(top, 0, size.height - 1);
  return {
    left: l,
    top: t,
    width: clamp(width, 1, size.width - l),
    height: clamp(height, 1, size.height - t),
    flip: flip ?? false,
  };
}

type Nine = readonly [number, number, number, number, number, number, number, number, number];

/** A point mapped by a homography of 9 numbers; undefined behind the horizon. */
export function project(matrix: readonly number[], x: number, y: number): { x: number; y: number } | undefined {
  const [a, b, c, d, e, f, g, h, i] = matrix as Nine;
  const w = g * x + h * y + i;
  return w > 1e-9 ? { x: (a * x + b * y + c) / w, y: (d * x + e * y + f) / w } : undefined;
}

/** The inverse of a homography, up to scale: its adjugate, with the sign that keeps w positive where the matrix does. */
export function inverse(matrix: readonly number[]): number[] {
  const [a, b, c, d, e, f, g, h, i] = matrix as Nine;
  const adjugate = [
    e * i - f * h,
    c * h - b * i,
    b * f - c * e,
    f * g - d * i,
    a * i - c * g,
    c * d - a * f,
    d * h - e * g,
    b * g - a * h,
    a * e - b * d,
  ];
  const determinant = a * adjugate[0]! + b * adjugate[3]! + c * adjugate[6]!;
  return adjugate.map((value) => value / determinant);
}
