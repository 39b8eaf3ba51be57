import { quantizeVectors } from '../../../featureOps/quantize.js';
import type { DataType__Output } from '../../../proto/generated/vicregl/v1/DataType.js';
import { float16Within, LARGEST_FLOAT16 } from '../../../tensor/float16.js';
import { forEachSlice } from '../../../tensor/slices.js';
import { elementBytes, type Tensor, tensor, tensorBytes } from '../../../tensor/tensor.js';
import { invalid } from './fields.js';

/** The dtypes of vectors in responses. */
export type WireDType = 'float32' | 'float16' | 'int8';

/**
 * The dtype that a request asks for; default float32.
 * @throws ServeError `invalid_argument` for a value that this version does not know.
 */
export function readDType(dtype: DataType__Output): WireDType {
  switch (dtype) {
    case 'DATA_TYPE_UNSPECIFIED':
    case 'DATA_TYPE_FLOAT32':
      return 'float32';
    case 'DATA_TYPE_FLOAT16':
      return 'float16';
    case 'DATA_TYPE_INT8':
      return 'int8';
    default:
      throw invalid(`dtype: ${String(dtype)} is not a type of this version of the API`);
  }
}

/** Bytes of vectors on the wire. */
export function wireBytes(vectors: number, channels: number, dtype: WireDType): number {
  return vectors * (channels * elementBytes(dtype) + (dtype === 'int8' ? SCALE_BYTES : 0));
}

/** int8 vectors have a float32 scale each. */
const SCALE_BYTES = 4;

/** The dtypes in messages. */
const dataTypes = {
  float32: 'DATA_TYPE_FLOAT32',
  float16: 'DATA_TYPE_FLOAT16',
  int8: 'DATA_TYPE_INT8',
} as const;

/** The fields of a tensor in a message. */
export interface WireTensor {
  readonly dtype: (typeof dataTypes)[WireDType];
  readonly shape: number[];
  readonly data: Uint8Array;
  /** int8 only. */
  readonly scales?: Uint8Array;
}

/**
 * The elements of a tensor as float16. Pauses (yields) every few milliseconds.
 * @throws ServeError `invalid_argument` for an element that float16 cannot hold: as an infinity it would spoil all that is
 *   computed with it, and this service itself would not accept it.
 */
function* toFloat16({ shape, data }: Tensor<'float32'>): Generator<void, Tensor<'float16'>> {
  const halves = new Uint16Array(data.length);
  yield* forEachSlice(data.length, 1, (first, end) => {
    const fail = (i: number, value: number) =>
      invalid(
        `dtype: element ${first + i} of the answer is ${value}, and FLOAT16 reaches ${LARGEST_FLOAT16}; ask for FLOAT32 or ` +
          'INT8, or for vectors of length 1 (l2_normalize)',
      );
    float16Within(data.subarray(first, end), fail, halves.subarray(first, end));
  });
  return tensor('float16', shape, halves);
}

/**
 * A float32 tensor as a message. Typed arrays are little-endian on every platform that Node runs on but s390x. Pauses (yields)
 * every few milliseconds.
 * @throws ServeError `invalid_argument` for float16 if an element is too large for it.
 */
export function* tensorMessage(value: Tensor<'float32'>, dtype: WireDType): Generator<void, WireTensor> {
  const described = { dtype: dataTypes[dtype], shape: [...value.shape] };
  if (dtype === 'int8') {
    const { elements, scales } = yield* quantizeVectors(value);
    return { ...described, data: tensorBytes(elements), scales: new Uint8Array(scales.buffer) };
  }
  const sent = dtype === 'float16' ? yield* toFloat16(value) : value;
  return { ...described, data: tensorBytes(sent) };
}
