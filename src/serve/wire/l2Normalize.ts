import { type Tensor, tensor } from '../../tensor/tensor.js';

/** Scales every vector along the last dimension to length 1; a zero vector stays zero. The input is left as it is. */
export function l2Normalize(value: Tensor<'float32'>): Tensor<'float32'> {
  const channels = value.shape.at(-1) ?? 1;
  const scaled = new Float32Array(value.data.length);
  for (let start = 0; start < scaled.length; start += channels) {
    let squared = 0;
    for (let k = start; k < start + channels; k++) squared += value.data[k]! ** 2;
    const scale = squared === 0 ? 0 : 1 / Math.sqrt(squared);
    for (let k = start; k < start + channels; k++) scaled[k] = value.data[k]! * scale;
  }
  return tensor('float32', value.shape, scaled);
}
