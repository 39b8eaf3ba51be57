import type { Tensor__Output } from '../proto/generated/vicregl/v1/Tensor.js';
import { float16ToFloat32 } from '../tensor/float16.js';
import { type Tensor, tensorFromBytes } from '../tensor/tensor.js';
import { VicreglError } from './vicreglError.js';

/** A tensor as it was received; float16 as its bit patterns. */
export type ReceivedTensor = Tensor<'float32'> | Tensor<'float16'>;

/** @throws VicreglError `INTERNAL` for a response without a tensor, or whose bytes do not fit its shape. */
export function readTensor(message: Tensor__Output | null): ReceivedTensor {
  if (message === null) throw new VicreglError('INTERNAL', 'the response carries no tensor');
  try {
    switch (message.dtype) {
      case 'DATA_TYPE_FLOAT32':
        return tensorFromBytes('float32', message.shape, message.data);
      case 'DATA_TYPE_FLOAT16':
        return tensorFromBytes('float16', message.shape, message.data);
      default:
        throw new RangeError(`dtype ${String(message.dtype)} is not known to this client; update it`);
    }
  } catch (cause) {
    throw new VicreglError('INTERNAL', `the response's tensor cannot be read: ${String(cause)}`, { cause });
  }
}

/** The tensor's numbers. */
export function float32Of(value: ReceivedTensor): Float32Array {
  return value.dtype === 'float16' ? float16ToFloat32(value.data as Uint16Array) : (value.data as Float32Array);
}
