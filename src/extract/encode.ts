import type { ReceivedTensor } from '../client/tensor.js';
import { l2Normalize } from '../featureOps/l2Normalize.js';
import { quantizeVectors } from '../featureOps/quantize.js';
import { float16Within, LARGEST_FLOAT16 } from '../tensor/float16.js';
import { runSync } from '../tensor/slices.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Wanted } from './features.js';

/** @throws RangeError for an element that float16 cannot hold. */
function toFloat16({ shape, data }: Tensor<'float32'>): Tensor<'float16'> {
  const halves = float16Within(
    data,
    (i, value) =>
      new RangeError(
        `dtype: element ${i} is ${value}, and float16 reaches ${LARGEST_FLOAT16}; use --dtype float32 or int8, or --l2`,
      ),
  );
  return tensor('float16', shape, halves);
}

/**
 * Normalises and converts vectors [..., C] as the service does, so that both give the same numbers.
 * @throws RangeError for an element that the type cannot hold.
 */
export function encodeVectors(value: Tensor<'float32'>, { l2, dtype }: Pick<Wanted, 'l2' | 'dtype'>): ReceivedTensor {
  const vectors = l2 ? runSync(l2Normalize(value)) : value;
  if (dtype === 'float16') return toFloat16(vectors);
  if (dtype === 'float32') return vectors;
  const { elements, scales } = runSync(quantizeVectors(vectors));
  return { ...elements, scales };
}
