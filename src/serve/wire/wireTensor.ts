import type { DataType__Output } from '../../proto/generated/vicregl/v1/DataType.js';
import type { Tensor as TensorMessage } from '../../proto/generated/vicregl/v1/Tensor.js';
import { float32ToFloat16 } from '../../tensor/float16.js';
import { elementBytes, type Tensor, tensor, tensorBytes } from '../../tensor/tensor.js';
import { ServeError } from '../serveError.js';

/** The dtypes that responses carry. */
export type WireDType = 'float32' | 'float16';

/**
 * The dtype that a request asks for; float32 where it does not say.
 * @throws ServeError `invalid_argument` for a number that is no type of this version.
 */
export function readDType(dtype: DataType__Output): WireDType {
  switch (dtype) {
    case 'DATA_TYPE_UNSPECIFIED':
    case 'DATA_TYPE_FLOAT32':
      return 'float32';
    case 'DATA_TYPE_FLOAT16':
      return 'float16';
    default:
      throw new ServeError('invalid_argument', `dtype: ${String(dtype)} is not a type of this version of the API`);
  }
}

/** Bytes of one element on the wire. */
export const wireElementBytes = (dtype: WireDType): number => elementBytes(dtype);

/** A float32 tensor as a message. Typed arrays are little-endian on every platform that Node runs on but s390x. */
export function tensorMessage(value: Tensor<'float32'>, dtype: WireDType): TensorMessage {
  const sent = dtype === 'float16' ? tensor('float16', value.shape, float32ToFloat16(value.data)) : value;
  return {
    dtype: dtype === 'float16' ? 'DATA_TYPE_FLOAT16' : 'DATA_TYPE_FLOAT32',
    shape: [...value.shape],
    data: tensorBytes(sent),
  };
}
