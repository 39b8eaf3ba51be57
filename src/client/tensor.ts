import type { Tensor__Output } from '../proto/generated/vicregl/v1/Tensor.js';
import { float16ToFloat32 } from '../tensor/float16.js';
import { type Tensor, tensorFromBytes } from '../tensor/tensor.js';
import { VicreglError } from './vicreglError.js';

/** int8 elements with one scale for each vector along the last dimension: value = element * scale. */
export interface ScaledTensor extends Tensor<'int8'> {
  /** Row-major, one per vector. */
  readonly scales: Float32Array;
}

/** A tensor as received; float16 elements as bit patterns. */
export type ReceivedTensor = Tensor<'float32'> | Tensor<'float16'> | ScaledTensor;

/** @throws VicreglError `INTERNAL` for a response without a tensor, or with bytes that do not match its shape. */
export function readTensor(message: Tensor__Output | null): ReceivedTensor {
  if (message === null) throw new VicreglError('INTERNAL', 'the response has no tensor');
  try {
    switch (message.dtype) {
      case 'DATA_TYPE_FLOAT32':
        return tensorFromBytes('float32', message.shape, message.data);
      case 'DATA_TYPE_FLOAT16':
        return tensorFromBytes('float16', message.shape, message.data);
      case 'DATA_TYPE_INT8': {
        const scales = tensorFromBytes('float32', message.shape.slice(0, -1), message.scales);
        return { ...tensorFromBytes('int8', message.shape, message.data), scales: scales.data };
      }
      default:
        throw new RangeError(
          `dtype ${String(message.dtype)} is not supported by this version of the client; update it`,
        );
    }
  } catch (cause) {
    throw new VicreglError('INTERNAL', `the response's tensor cannot be read: ${String(cause)}`, { cause });
  }
}

/** The values of a tensor as float32. */
export function float32Of(value: ReceivedTensor): Float32Array {
  if ('scales' in value) {
    const channels = value.shape.at(-1) ?? 1;
    return Float32Array.from(value.data, (element, i) => element * value.scales[Math.floor(i / channels)]!);
  }
  return value.dtype === 'float16' ? float16ToFloat32(value.data as Uint16Array) : (value.data as Float32Array);
}
