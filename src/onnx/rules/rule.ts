import { elementCount } from '../../tensor/tensor.js';
import type { Node, Value } from '../graph.js';
import type { Operator } from '../operators.js';
import { columnSums } from '../ops/columnSums.js';
import { reduceSum } from '../ops/reduce.js';
import { reshape } from '../ops/shape.js';
import { isStatic, sameShape, staticShape } from '../shapes.js';

/** What a gradient rule sees of a node. */
export interface RuleContext {
  readonly node: Node;
  /** Inputs of the node. */
  readonly x: readonly Value[];
  /** Outputs of the node. */
  readonly y: readonly Value[];
  /** Gradient with respect to the first output, of its shape. */
  readonly gy: Value;
  /** Which inputs need a gradient; a rule computes no other. */
  readonly needs: readonly boolean[];
}

/** Gradients with respect to the inputs, in order; undefined where none is needed. */
export type GradientRule = (context: RuleContext) => readonly (Value | undefined)[];

/**
 * How an operator is differentiated: by a rule; `none` where it has no derivative (comparisons, selections) and gradients
 * stop; `unsupported` where no rule is written, which is an error when a gradient reaches it.
 */
export type Gradient = GradientRule | 'none' | 'unsupported';

/** The gradients of a family of operators. */
export type FamilyGradients = Readonly<Partial<Record<Operator, Gradient>>>;

/** Runs a function for an input only when its gradient is needed. */
export function whenNeeded(needed: boolean | undefined, build: () => Value): Value | undefined {
  return needed ? build() : undefined;
}

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

/** Elements from which on a sum over the first axes is faster as a product (scripts/bench/columnSums.ts). */
const LARGE = 2 ** 19;

function sumsLargeRows({ graph, dtype, shape }: Value, axes: readonly number[]): boolean {
  const leading = axes.length < shape.length && axes.every((axis, i) => axis === i);
  return graph.provider === 'cpu' && dtype === 'float32' && leading && isStatic(shape) && elementCount(shape) >= LARGE;
}
