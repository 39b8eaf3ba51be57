import { elementCount } from '../tensor/tensor.js';
import type { Value } from './graph.js';
import { columnSums } from './ops/columnSums.js';
import { reduceSum } from './ops/reduce.js';
import { reshape } from './ops/shape.js';
import { isStatic, sameShape, staticShape } from './shapes.js';

/** Sums a gradient over the axes that broadcasting had repeated, back to the operand's shape. */
export function unbroadcast(gradient: Value, operand: Value): Value {
  if (sameShape(gradient.shape, operand.shape)) return gradient;
  const offset = gradient.shape.length - operand.shape.length;
  const axes = gradient.shape.flatMap((dim, i) => {
    const own = i < offset ? undefined : operand.shape[i - offset];
    return own === undefined || (own === 1 && dim !== 1) ? [i] : [];
  });
  const shape = staticShape(operand.shape, 'unbroadcast');
  if (sumsLargeRows(gradient, axes)) {
    const columns = elementCount(gradient.shape.slice(axes.length) as readonly number[]);
    return reshape(columnSums(reshape(gradient, [-1, columns])), shape);
  }
  return reshape(reduceSum(gradient, axes, { keepDims: true }), shape);
}

/** From this number of elements a sum over the first axes is faster as a product (scripts/bench/columnSums.ts). */
const LARGE = 2 ** 19;

function sumsLargeRows({ graph, dtype, shape }: Value, axes: readonly number[]): boolean {
  const leading = axes.length < shape.length && axes.every((axis, i) => axis === i);
  return graph.provider === 'cpu' && dtype === 'float32' && leading && isStatic(shape) && elementCount(shape) >= LARGE;
}
