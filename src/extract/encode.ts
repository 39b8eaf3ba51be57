import type { ReceivedTensor } from '../client/tensor.js';
import { l2Normalize } from '../featureOps/l2Normalize.js';
import { quantizeVectors } from '../featureOps/quantize.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { runSync } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Wanted } from './features.js';

/** Normalises and converts vectors [..., C] as the service does, so that both give the same numbers. */
export function encodeVectors(value: Tensor<'float32'>, { l2, dtype }: Pick<Wanted, 'l2' | 'dtype'>): ReceivedTensor {
  const vectors = l2 ? runSync(l2Normalize(value)) : value;
  if (dtype === 'float16') return tensor('float16', vectors.shape, float32ToFloat16(vectors.data));
  if (dtype === 'float32') return vectors;
  const { elements, scales } = runSync(quantizeVectors(vectors));
  return { ...elements, scales };
}
