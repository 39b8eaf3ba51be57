import { float16ToFloat32 } from '../tensor/float16.js';
import { CheckpointFileError } from './checkpointFileError.js';

/**
 * Element types of checkpoints, with PyTorch's names. Of those that are not converted to float32, the sizes are needed all the same:
 * a file with the weights of a model may have any others beside them.
 */
export type ElementType =
  | 'float64'
  | 'float32'
  | 'float16'
  | 'bfloat16'
  | 'float8_e4m3fn'
  | 'float8_e5m2'
  | 'float8_e4m3fnuz'
  | 'float8_e5m2fnuz'
  | 'float8_e8m0fnu'
  | 'float6_e2m3'
  | 'float6_e3m2'
  | 'float4_e2m1'
  | 'float4_e2m1fn_x2'
  | 'int64'
  | 'int32'
  | 'int16'
  | 'int8'
  | 'uint64'
  | 'uint32'
  | 'uint16'
  | 'uint8'
  | 'bool'
  | 'complex32'
  | 'complex64'
  | 'complex128';

/** Bytes per element; less than 1 for packed ones. */
export const elementWidth: Readonly<Record<ElementType, number>> = {
  float64: 8,
  float32: 4,
  float16: 2,
  bfloat16: 2,
  float8_e4m3fn: 1,
  float8_e5m2: 1,
  float8_e4m3fnuz: 1,
  float8_e5m2fnuz: 1,
  float8_e8m0fnu: 1,
  float6_e2m3: 0.75,
  float6_e3m2: 0.75,
  float4_e2m1: 0.5,
  float4_e2m1fn_x2: 1,
  int64: 8,
  int32: 4,
  int16: 2,
  int8: 1,
  uint64: 8,
  uint32: 4,
  uint16: 2,
  uint8: 1,
  bool: 1,
  complex32: 4,
  complex64: 8,
  complex128: 16,
};

/** Returns bytes at an offset that is aligned for a typed array, with a copy only if necessary. */
function aligned(bytes: Uint8Array, width: number): Uint8Array {
  return bytes.byteOffset % width === 0 ? bytes : Uint8Array.from(bytes);
}

/** Converts bfloat16 patterns, which are the upper halves of float32 patterns. */
function bfloat16ToFloat32(halves: Uint16Array): Float32Array {
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < halves.length; i++) bits[i] = halves[i]! << 16;
  return new Float32Array(bits.buffer);
}

/**
 * Values of all 8-bit patterns (Micikevicius et al., "FP8 formats for deep learning", arXiv 2209.05433). e5m2 is the upper half
 * of a float16. e4m3fn has an exponent bias of 7 and no infinities; NaN has all bits except the sign set.
 */
const float8Tables = {
  float8_e5m2: () => float16ToFloat32(Uint16Array.from({ length: 256 }, (_, byte) => byte << 8)),
  float8_e4m3fn: () =>
    Float32Array.from({ length: 256 }, (_, byte) => {
      const sign = byte & 0x80 ? -1 : 1;
      const [exponent, mantissa] = [(byte >> 3) & 15, byte & 7];
      if (exponent === 15 && mantissa === 7) return Number.NaN;
      return sign * (exponent === 0 ? mantissa * 2 ** -9 : (8 + mantissa) * 2 ** (exponent - 10));
    }),
};

const fromTable = (type: keyof typeof float8Tables) => (bytes: Uint8Array) => {
  const table = float8Tables[type]();
  return Float32Array.from(bytes, (byte) => table[byte]!);
};

/** How the elements of the types that can be read become float32, from bytes that are aligned for them. */
const converters: Partial<Record<ElementType, (bytes: Uint8Array, count: number) => Float32Array>> = {
  float64: ({ buffer, byteOffset }, count) => Float32Array.from(new Float64Array(buffer, byteOffset, count)),
  float32: ({ buffer, byteOffset }, count) => new Float32Array(buffer, byteOffset, count),
  float16: ({ buffer, byteOffset }, count) => float16ToFloat32(new Uint16Array(buffer, byteOffset, count)),
  bfloat16: ({ buffer, byteOffset }, count) => bfloat16ToFloat32(new Uint16Array(buffer, byteOffset, count)),
  float8_e4m3fn: fromTable('float8_e4m3fn'),
  float8_e5m2: fromTable('float8_e5m2'),
};

/**
 * Converts the elements (little-endian) of a tensor to float32.
 * @param file and `key` name the tensor in errors
 * @throws CheckpointFileError for a type other than real floating-point numbers, and for those that cannot be converted
 */
export function toFloat32(type: ElementType, bytes: Uint8Array, file: string, key: string): Float32Array {
  const convert = converters[type];
  if (convert !== undefined) return convert(aligned(bytes, elementWidth[type]), bytes.byteLength / elementWidth[type]);
  const types = Object.keys(converters)
    .join(', ')
    .replace(/, (\w+)$/, ' and $1');
  throw new CheckpointFileError(`${file}: "${key}" has the type ${type}; read are ${types}`);
}
