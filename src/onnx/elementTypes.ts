import { type DType, elementBytes } from '../tensor/tensor.js';
import { GraphError } from './shapes.js';

/** A type of 16 bits in which products can be computed (see ops/product.ts). */
export type HalfType = 'float16' | 'bfloat16';

/** Element types of values in graphs: those of tensors, and bfloat16, which no tensor outside of a graph has. */
export type ElementType = DType | 'bfloat16';

/** Codes of ONNX's TensorProto.DataType, in graphs and in the attribute of Cast. */
export const ONNX_TYPE_CODES: Readonly<Record<ElementType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  float16: 10,
  float64: 11,
  bfloat16: 16,
};

export function isHalf(type: ElementType): type is HalfType {
  return type === 'float16' || type === 'bfloat16';
}

/** The type of a tensor with such elements. @throws GraphError for bfloat16. */
export function tensorElements(type: ElementType): DType {
  if (type === 'bfloat16') throw new GraphError('bfloat16 is only inside of graphs: no constant or input can have it');
  return type;
}

/** Bytes per element. */
export function elementTypeBytes(type: ElementType): number {
  return type === 'bfloat16' ? 2 : elementBytes(type);
}
