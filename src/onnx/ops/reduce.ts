import { emitOne, type Value } from '../graph.js';
import { normaliseAxis, type Shape } from '../shapes.js';
import { mul, widened } from './elementwise.js';

/**
 * Reductions. Axes may be negative; reduced axes stay with length 1 where `keepDims`. Sums and means of values of 16 bits are in float32.
 */

interface ReduceOptions {
  readonly keepDims?: boolean;
}

function reducedShape(operator: string, shape: Shape, axes: readonly number[], keepDims: boolean): Shape {
  const reduced = new Set(axes.map((axis) => normaliseAxis(operator, axis, shape)));
  return shape.flatMap((dim, i) => (reduced.has(i) ? (keepDims ? [1] : []) : [dim]));
}

function allAxes(x: Value): number[] {
  return x.shape.map((_, i) => i);
}

/** Sum over axes (all by default). Over none it is the value itself: ONNX would take an empty list for all axes. */
export function reduceSum(
  of: Value,
  axes: readonly number[] = allAxes(of),
  { keepDims = false }: ReduceOptions = {},
): Value {
  const x = widened(of);
  if (axes.length === 0) return x;
  const shape = reducedShape('ReduceSum', x.shape, axes, keepDims);
  return emitOne('ReduceSum', [x, x.graph.integers(axes)], { dtype: x.dtype, shape }, { keepdims: keepDims ? 1 : 0 });
}

/** Mean over axes (all by default); over none it is the value itself. */
export function reduceMean(
  of: Value,
  axes: readonly number[] = allAxes(of),
  { keepDims = false }: ReduceOptions = {},
): Value {
  const x = widened(of);
  if (axes.length === 0) return x;
  const shape = reducedShape('ReduceMean', x.shape, axes, keepDims);
  const keepdims = keepDims ? 1 : 0;
  // The axes moved from an attribute to an input in opset 18.
  return x.graph.opset >= 18
    ? emitOne('ReduceMean', [x, x.graph.integers(axes)], { dtype: x.dtype, shape }, { keepdims })
    : emitOne('ReduceMean', [x], { dtype: x.dtype, shape }, { keepdims, axes });
}

/**
 * Sum of the squares of all elements. Scalar. Summed within rows, then over rows: the CPU provider sums one long row of
 * float32 with an error of 5e-4 at 4096 x 4096 elements, and of 1e-2 at four times as many.
 */
export function sumOfSquares(x: Value): Value {
  const rows = reduceSum(mul(x, x), allAxes(x).slice(1));
  return reduceSum(rows);
}

/** Index of the smallest element along an axis, the lower index on ties: int64, the axis removed. */
export function argMin(x: Value, axis: number): Value {
  const shape = reducedShape('ArgMin', x.shape, [axis], false);
  return emitOne('ArgMin', [x], { dtype: 'int64', shape }, { axis, keepdims: 0, select_last_index: 0 });
}

/** log(softmax(x)) along the last axis. */
export function logSoftmax(x: Value): Value {
  return emitOne('LogSoftmax', [x], { dtype: x.dtype, shape: x.shape }, { axis: -1 });
}
