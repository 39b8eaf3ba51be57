import { elementCount } from '../tensor/tensor.js';

/** How a tensor lies in its storage, in elements: element i_0, i_1, ... stands at offset + sum of i_k * strides_k. */
export interface StridedView {
  readonly shape: readonly number[];
  readonly strides: readonly number[];
  readonly offset: number;
}

/** PyTorch's own limit. */
const MAX_DIMENSIONS = 64;

/** Strides of a row-major tensor. */
export function contiguousStrides(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length);
  let step = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    strides[axis] = step;
    step *= Math.max(1, shape[axis]!);
  }
  return strides;
}

/** Elements of the storage from the first to the last that the view touches. */
export function viewSpan({ shape, strides }: StridedView): number {
  if (shape.includes(0)) return 0;
  return shape.reduce((last, size, axis) => last + (size - 1) * strides[axis]!, 1);
}

/**
 * What is wrong with a view of a storage; undefined where it fits. A view with more elements than its storage (which
 * strides of 0 allow) is refused: it would let a small file ask for any amount of memory.
 */
export function viewProblem(view: StridedView, storageElements: number): string | undefined {
  const { shape, strides, offset } = view;
  if (shape.length > MAX_DIMENSIONS) return `${shape.length} dimensions are more than ${MAX_DIMENSIONS}`;
  if (strides.length !== shape.length) return `${strides.length} strides do not fit ${shape.length} dimensions`;
  const isCount = (n: number) => Number.isSafeInteger(n) && n >= 0;
  if (![...shape, ...strides, offset].every(isCount)) return 'sizes, strides and offset must be whole and not negative';
  const count = elementCount(shape);
  if (count > storageElements) return `${count} elements are more than the ${storageElements} of its storage`;
  if (offset + viewSpan(view) > storageElements) {
    return `it ends at element ${offset + viewSpan(view)} of a storage of ${storageElements}`;
  }
  return undefined;
}

/** Whether the elements lie one after the other in row-major order. */
export function isContiguous({ shape, strides }: StridedView): boolean {
  const expected = contiguousStrides(shape);
  return shape.includes(0) || shape.every((size, axis) => size === 1 || strides[axis] === expected[axis]);
}

/** Gathers a view's elements in row-major order. @param span elements of the storage from the view's first on. */
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
