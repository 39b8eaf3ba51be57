import { forEachSlice } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Vectors as whole numbers: value = element * scale of its vector. */
export interface QuantizedVectors {
  /** [..., C]. */
  readonly elements: Tensor<'int8'>;
  /** One for each vector along the last dimension, row-major. */
  readonly scales: Float32Array;
}

/** Largest element. -128 is not used, so that the range is symmetric. */
const LEVELS = 127;

/** Quantises vectors one after the other and writes to `elements` and `scales`. */
function quantizeEach(data: Float32Array, channels: number, elements: Int8Array, scales: Float32Array): void {
  for (let vector = 0; vector < scales.length; vector++) {
    const start = vector * channels;
    let largest = 0;
    for (let k = start; k < start + channels; k++) largest = Math.max(largest, Math.abs(data[k]!));
    const scale = Math.fround(largest / LEVELS);
    scales[vector] = scale;
    if (scale === 0) continue;
    for (let k = start; k < start + channels; k++) {
      // With a scale that was rounded down, the largest value would leave the range.
      elements[k] = Math.max(-LEVELS, Math.min(LEVELS, Math.round(data[k]! / scale)));
    }
  }
}

/**
 * Symmetric quantisation of each vector (along the last dimension) by its largest magnitude. The error of a value is at most
 * half the scale of its vector, plus the rounding of float32. A vector of zeros has the scale 0. Pauses every few milliseconds.
 */
export function* quantizeVectors({ shape, data }: Tensor<'float32'>): Generator<void, QuantizedVectors> {
  const channels = shape.at(-1) ?? 1;
  const vectors = data.length / channels;
  const elements = new Int8Array(data.length);
  const scales = new Float32Array(vectors);
  yield* forEachSlice(vectors, channels, (first, end) => {
    const [start, stop] = [first * channels, end * channels];
    quantizeEach(data.subarray(start, stop), channels, elements.subarray(start, stop), scales.subarray(first, end));
  });
  return { elements: tensor('int8', shape, elements), scales };
}
