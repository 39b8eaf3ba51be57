import { forEachSlice } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Weights of one axis: [window][cell of the window]. At each cell of the axis the weights of its windows sum to 1. */
export type AxisWeights = readonly Float64Array[];

/**
 * Weights of overlapping windows along one axis. They fall linearly from the middle of a window to its ends, where the vectors
 * depend on padding, and are divided by their sum at each cell. With one window, all weights are 1.
 * @param cells of the whole axis; the windows cover all of them
 * @param starts first cell of each window
 * @param length cells of a window
 */
export function blendWeights(cells: number, starts: readonly number[], length: number): AxisWeights {
  const tent = (i: number): number => Math.min(i + 1, length - i);
  const sums = new Float64Array(cells);
  for (const start of starts) for (let i = 0; i < length; i++) sums[start + i]! += tent(i);
  return starts.map((start) => Float64Array.from({ length }, (_, i) => tent(i) / sums[start + i]!));
}

/**
 * Adds the map of a window to the merged map, weighted. Windows have to be added in a fixed order for the same sums. Pauses
 * every few milliseconds.
 * @param merged [rows, columns, C], changed in place; all zeros before the first window
 * @param map [h, w, C]
 * @param at the window's first cell, and the weights of its rows [h] and columns [w]
 */
export function* addTile(
  merged: Tensor<'float32'>,
  map: Tensor<'float32'>,
  at: { readonly row: number; readonly column: number; readonly down: Float64Array; readonly across: Float64Array },
): Generator<void, void> {
  const [, columns = 0, channels = 0] = merged.shape;
  const [height = 0, width = 0] = map.shape;
  const { data } = merged;
  yield* forEachSlice(height, width * channels, (first, end) => {
    for (let row = first; row < end; row++) {
      for (let column = 0; column < width; column++) {
        const weight = at.down[row]! * at.across[column]!;
        const from = (row * width + column) * channels;
        const to = ((at.row + row) * columns + at.column + column) * channels;
        for (let k = 0; k < channels; k++) data[to + k] = data[to + k]! + weight * map.data[from + k]!;
      }
    }
  });
}

/** A map of zeros, [rows, columns, C]. */
export function emptyMap(rows: number, columns: number, channels: number): Tensor<'float32'> {
  return tensor('float32', [rows, columns, channels], new Float32Array(rows * columns * channels));
}
