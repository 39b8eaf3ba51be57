import { elementCount } from '../../tensor/tensor.js';
import { emitOne, type Value } from '../graph.js';
import { isStatic, normaliseAxis, type Shape } from '../shapes.js';
import { mul, widened } from './elementwise.js';
import { reshape } from './shape.js';

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

/** From this number of elements a reduction over all of them takes two steps. */
const LONG = 2 ** 12;

/**
 * The elements as rows of about as many columns, where they are to be reduced to one number and are many: the CPU provider adds up one
 * row after the other in float32, and a long one with an error of 5e-4 at 4096 x 4096 elements, and of 1e-2 at four times as many. In
 * two steps, within rows and then over rows, it is that of the rows' length.
 */
function inRows(x: Value): Value | undefined {
  if (!isStatic(x.shape)) return undefined;
  const elements = elementCount(x.shape);
  if (elements < LONG) return undefined;
  let rows = Math.floor(Math.sqrt(elements));
  while (elements % rows !== 0) rows -= 1;
  return reshape(x, [rows, elements / rows]);
}

/**
 * Sum over axes (all by default, in two steps where they are many). Over none it is the value itself: ONNX would take an empty list for
 * all axes.
 */
export function reduceSum(
  of: Value,
  axes: readonly number[] = allAxes(of),
  { keepDims = false }: ReduceOptions = {},
): Value {
  const x = widened(of);
  if (axes.length === 0) return x;
  const shape = reducedShape('ReduceSum', x.shape, axes, keepDims);
  const rows = shape.length === 0 ? inRows(x) : undefined;
  if (rows !== undefined) return reduceSum(reduceSum(rows, [1]));
  return emitOne('ReduceSum', [x, x.graph.integers(axes)], { dtype: x.dtype, shape }, { keepdims: keepDims ? 1 : 0 });
}

/** Mean over axes (all by default, in two steps where they are many); over none it is the value itself. */
export function reduceMean(
  of: Value,
  axes: readonly number[] = allAxes(of),
  { keepDims = false }: ReduceOptions = {},
): Value {
  const x = widened(of);
  if (axes.length === 0) return x;
  const shape = reducedShape('ReduceMean', x.shape, axes, keepDims);
  const rows = shape.length === 0 ? inRows(x) : undefined;
  if (rows !== undefined) return reduceMean(reduceMean(rows, [1]));
  const keepdims = keepDims ? 1 : 0;
  // The axes moved from an attribute to an input in opset 18.
  return x.graph.opset >= 18
    ? emitOne('ReduceMean', [x, x.graph.integers(axes)], { dtype: x.dtype, shape }, { keepdims })
    : emitOne('ReduceMean', [x], { dtype: x.dtype, shape }, { keepdims, axes });
}

/** Sum of the squares of all elements. Scalar. */
export function sumOfSquares(x: Value): Value {
  return reduceSum(mul(x, x));
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
