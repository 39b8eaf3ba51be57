import type { Grid } from '../image/geometry.js';
import { type BilinearTap, bilinearTap } from '../tensor/bilinearTap.js';
import { forEachSlice } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { FeatureOpError } from './featureOpError.js';
import type { Window } from './selectCells.js';

/** Rows and columns of cells. */
export interface MapSize {
  readonly rows: number;
  readonly columns: number;
}

/** What to enlarge a map by, or to. */
export type Upsampling = { readonly factor: number } | MapSize;

/** Most rows and columns of an enlarged map: the largest number in a grid's message, where larger ones would lose their first digits. */
const LARGEST_SIDE = 2 ** 32 - 1;

/**
 * The size of an enlarged map.
 * @throws FeatureOpError `bad_size` for a size below that of the map, or above what a grid can have.
 */
export function upsampledSize({ rows, columns }: MapSize, to: Upsampling): MapSize {
  const size = 'factor' in to ? { rows: rows * to.factor, columns: columns * to.factor } : to;
  const what = 'factor' in to ? `factor ${to.factor}` : `${size.rows} rows and ${size.columns} columns`;
  if (size.rows > LARGEST_SIDE || size.columns > LARGEST_SIDE) {
    const largest = Math.floor(LARGEST_SIDE / Math.max(rows, columns));
    throw new FeatureOpError(
      'bad_size',
      `${what}: a map of ${rows} x ${columns} cells (rows x columns) would have ${size.rows} x ${size.columns}, and at most ` +
        `${LARGEST_SIDE} rows and columns are possible; ask for ${'factor' in to ? `a factor of at most ${largest}` : 'fewer'}`,
    );
  }
  if (size.rows >= rows && size.columns >= columns) return { rows: size.rows, columns: size.columns };
  throw new FeatureOpError(
    'bad_size',
    `${what}: less than the map of ${rows} x ${columns} cells (rows x columns); a map can only be enlarged, and a smaller ` +
      'one comes from a smaller resize',
  );
}

/** The grid of an enlarged map: the same part of the image in smaller cells. */
export function upsampledGrid(grid: Grid, { rows, columns }: MapSize): Grid {
  const { scaleX, scaleY, offsetX, offsetY } = grid.cellToPixel;
  return {
    ...grid,
    rows,
    columns,
    cellToPixel: {
      scaleX: (scaleX * grid.columns) / columns,
      scaleY: (scaleY * grid.rows) / rows,
      offsetX,
      offsetY,
    },
  };
}

/** Writes the vector between four cells of a map [rows, columns, C] to `to`. */
function interpolate(
  { shape, data }: Tensor<'float32'>,
  down: BilinearTap,
  across: BilinearTap,
  to: Float32Array,
  start: number,
): void {
  const [, columns = 0, channels = 0] = shape;
  const a = (down.low * columns + across.low) * channels;
  const b = (down.low * columns + across.high) * channels;
  const c = (down.high * columns + across.low) * channels;
  const d = (down.high * columns + across.high) * channels;
  const wa = (1 - down.weight) * (1 - across.weight);
  const wb = (1 - down.weight) * across.weight;
  const wc = down.weight * (1 - across.weight);
  const wd = down.weight * across.weight;
  for (let k = 0; k < channels; k++) {
    to[start + k] = wa * data[a + k]! + wb * data[b + k]! + wc * data[c + k]! + wd * data[d + k]!;
  }
}

/**
 * Enlarges a map bilinearly, as torch.nn.functional.interpolate(mode="bilinear", align_corners=False) does, and computes only a
 * window of the result. Pauses every few milliseconds.
 * @param map [rows, columns, C]
 * @param size of the whole enlarged map
 * @param window of it. Absent: all of it
 * @returns [window.rows, window.columns, C]
 */
export function* upsample(
  map: Tensor<'float32'>,
  size: MapSize,
  window: Window = { firstRow: 0, firstColumn: 0, ...size },
): Generator<void, Tensor<'float32'>> {
  const [rows = 0, columns = 0, channels = 0] = map.shape;
  const { firstRow, firstColumn, rows: height, columns: width } = window;
  const enlarged = new Float32Array(height * width * channels);
  const across = Array.from({ length: width }, (_, i) => bilinearTap(firstColumn + i, columns, size.columns));
  yield* forEachSlice(height, width * channels, (first, end) => {
    for (let row = first; row < end; row++) {
      const down = bilinearTap(firstRow + row, rows, size.rows);
      for (const [column, tap] of across.entries()) {
        interpolate(map, down, tap, enlarged, (row * width + column) * channels);
      }
    }
  });
  return tensor('float32', [height, width, channels], enlarged);
}

/**
 * Some vectors of the enlarged map, in the order of the cells, without the others. Pauses every few milliseconds.
 * @param map [rows, columns, C]
 * @param size of the enlarged map, in which the cells lie
 * @returns [N, C]
 */
export function* upsampleCells(
  map: Tensor<'float32'>,
  size: MapSize,
  cells: readonly { readonly row: number; readonly column: number }[],
): Generator<void, Tensor<'float32'>> {
  const [rows = 0, columns = 0, channels = 0] = map.shape;
  const picked = new Float32Array(cells.length * channels);
  yield* forEachSlice(cells.length, channels, (first, end) => {
    for (let i = first; i < end; i++) {
      const { row, column } = cells[i]!;
      interpolate(
        map,
        bilinearTap(row, rows, size.rows),
        bilinearTap(column, columns, size.columns),
        picked,
        i * channels,
      );
    }
  });
  return tensor('float32', [cells.length, channels], picked);
}
