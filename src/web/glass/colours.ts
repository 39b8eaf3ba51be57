import type { Vectors } from './tensor.js';
import { rangeOf } from './tensor.js';

/** Colours of maps: 4 bytes (red, green, blue, opaque) for each cell, row-major. */

/** Viridis (CC0, matplotlib), from low to high: even in brightness, and readable without colour vision. */
const VIRIDIS = [
  [68, 1, 84],
  [72, 40, 120],
  [62, 74, 137],
  [49, 104, 142],
  [38, 130, 142],
  [31, 158, 137],
  [53, 183, 121],
  [109, 205, 89],
  [180, 222, 44],
  [253, 231, 37],
] as const;

/** The scale as a CSS gradient, for legends. */
export const SCALE = `linear-gradient(to right, ${VIRIDIS.map((colour) => `rgb(${colour.join(' ')})`).join(', ')})`;

/** Colours of one value per cell. */
export function heatColours(values: Float32Array, [low, high]: readonly [number, number]): Uint8ClampedArray {
  const colours = new Uint8ClampedArray(values.length * 4);
  const scale = high > low ? (VIRIDIS.length - 1) / (high - low) : 0;
  for (const [i, value] of values.entries()) {
    const at = Math.min(VIRIDIS.length - 1, Math.max(0, (value - low) * scale));
    const [from, part] = [Math.min(VIRIDIS.length - 2, Math.floor(at)), at % 1];
    const share = at === VIRIDIS.length - 1 ? 1 : part;
    for (let c = 0; c < 3; c++) {
      colours[i * 4 + c] = VIRIDIS[from]![c]! * (1 - share) + VIRIDIS[from + 1]![c]! * share;
    }
    colours[i * 4 + 3] = 255;
  }
  return colours;
}

/** One component of all vectors of a map. */
function component({ data, channels }: Vectors, index: number): Float32Array {
  return Float32Array.from({ length: data.length / channels }, (_, cell) => data[cell * channels + index]!);
}

/** The ranges of the first three components over several maps with the same basis. */
export function componentRanges(maps: readonly Vectors[]): readonly (readonly [number, number])[] {
  return [0, 1, 2].map((c) => rangeOf(...maps.map((map) => component(map, c))));
}

/** The first three components as red, green and blue, each from its least value (0) to its greatest (255). */
export function componentColours(map: Vectors, ranges: readonly (readonly [number, number])[]): Uint8ClampedArray {
  const cells = map.data.length / map.channels;
  const colours = new Uint8ClampedArray(cells * 4).fill(255);
  for (const [c, [low, high]] of ranges.entries()) {
    const values = component(map, c);
    const scale = high > low ? 255 / (high - low) : 0;
    for (let cell = 0; cell < cells; cell++) colours[cell * 4 + c] = (values[cell]! - low) * scale;
  }
  return colours;
}
