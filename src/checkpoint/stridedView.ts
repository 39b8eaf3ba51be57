import { elementCount } from '../tensor/tensor.js';

/** Layout of a tensor in its storage, in elements: element i_0, i_1, ... is at offset + sum of i_k * strides_k. */
export interface StridedView {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** The limit of PyTorch. */
export const MAX_DIMENSIONS = 64;

/** Computes the strides of a row-major tensor, in elements. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]!);
  }
  return strides;
}

/** Number of storage elements from the first to the last one of the view. */
export function viewSpan({ shape, strides }: StridedView): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, axis) => last + (size - 1) * strides[axis]!, 1);
}

/**
 * Describes why a view does not fit its storage; undefined if it does. A view with more elements than its storage (possible with
 * strides of 0) is rejected, because a small file could otherwise request any amount of memory.
 */
export function viewProblem(view: StridedView, storageElements: number): string | undefined {
  const { shape, strides, offset } = view;
  if (shape.length > MAX_DIMENSIONS) return `it has ${shape.length} dimensions; the maximum is ${MAX_DIMENSIONS}`;
  if (strides.length !== shape.length) return `it has ${strides.length} strides for ${shape.length} dimensions`;
  const isCount = (n: number) => Number.isSafeInteger(n) && n >= 0;
  if (![...shape, ...strides, offset].every(isCount)) return 'sizes, strides and offset must be non-negative integers';
  const count = elementCount(shape);
  if (count > storageElements)
    return `its ${count} elements are more than the ${storageElements} elements of its storage`;
  if (offset + viewSpan(view) > storageElements) {
    return `it ends at element ${offset + viewSpan(view)} of a storage of ${storageElements}`;
  }
  return undefined;
}

/** Whether the elements are contiguous and in row-major order. */
export function isContiguous({ shape, strides }: StridedView): boolean {
  const expected = contiguousStrides(shape);
  return shape.includes(0) || shape.every((size, axis) => size === 1 || strides[axis] === expected[axis]);
}

/** Gathers the elements of a view in row-major order. @param span elements of the storage, from the first one of the view on */
export function gather({ shape, strides }: StridedView, span: Float32Array): Float32Array {
  const out = new Float32Array(elementCount(shape));
  const index = shape.map(() => 0);
  let at = 0;
  for (let i = 0; i < out.length; i++) {
    out[i] = span[at]!;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      at += strides[axis]!;
      if (++index[axis]! < shape[axis]!) break;
      at -= shape[axis]! * strides[axis]!;
      index[axis] = 0;
    }
  }
  return out;
}
