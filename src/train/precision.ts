import type { HalfType } from '../onnx/elementTypes.js';
import type { Provider } from '../onnx/graph.js';

/** The types in which convolutions and matrix products of the network are computed in training (src/onnx/ops/product.ts). */

export const PRECISIONS = ['fp32', 'bf16', 'fp16'] as const;
export type Precision = (typeof PRECISIONS)[number];

const HALF_TYPES: Readonly<Record<Precision, HalfType | undefined>> = {
  fp32: undefined,
  bf16: 'bfloat16',
  fp16: 'float16',
};

/** The type of products; undefined: float32. */
export function productTypeOf({ precision = 'fp32' }: { readonly precision?: Precision }): HalfType | undefined {
  return HALF_TYPES[precision];
}

/** Why a device cannot train in a precision, with the way out; undefined if it can. */
export function precisionProblem(precision: Precision, device: Provider): string | undefined {
  if (device !== 'cpu' || precision !== 'bf16') return undefined;
  return (
    "precision is bf16, and ONNX Runtime's CPU provider has no bfloat16 kernels of MatMul and Gemm; " +
    'set precision to fp32, or run with --device cuda'
  );
}

/** What a user should know of a precision on a device; undefined if it is of use there. */
export function precisionWarning(precision: Precision, device: Provider): string | undefined {
  if (device !== 'cpu' || precision !== 'fp16') return undefined;
  return (
    'precision is fp16 on the CPU: its provider rounds to float16 and computes in float32, which takes longer than fp32; ' +
    'use it to try a configuration for a GPU'
  );
}
