import { forEachSlice } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Scales vectors one after the other. @param scaled takes them */
function scaleVectors(data: Float32Array, channels: number, scaled: Float32Array): void {
  for (let start = 0; start < data.length; start += channels) {
    let squared = 0;
    for (let k = start; k < start + channels; k++) squared += data[k]! ** 2;
    const scale = squared === 0 ? 0 : 1 / Math.sqrt(squared);
    for (let k = start; k < start + channels; k++) scaled[k] = data[k]! * scale;
  }
}

/**
 * Scales every vector along the last dimension to length 1; a zero vector stays zero. The input is not changed. Pauses
 * (yields) every few milliseconds.
 */
export function* l2Normalize({ shape, data }: Tensor<'float32'>): Generator<void, Tensor<'float32'>> {
  const channels = shape.at(-1) ?? 1;
  const scaled = new Float32Array(data.length);
  yield* forEachSlice(data.length / channels, channels, (first, end) => {
    const [start, stop] = [first * channels, end * channels];
    scaleVectors(data.subarray(start, stop), channels, scaled.subarray(start, stop));
  });
  return tensor('float32', shape, scaled);
}
