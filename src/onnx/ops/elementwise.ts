import { type ElementType, isHalf, ONNX_TYPE_CODES } from '../elementTypes.js';
import { emitOne, type Value } from '../graph.js';
import { type Operator, operators } from '../operators.js';
import { broadcastShapes, formatShape, GraphError } from '../shapes.js';
import { reshape } from './shape.js';

/** Elementwise operators; two operands broadcast as in NumPy. Numbers become constants of the other operand's dtype. */

export type Operand = Value | number;

function pair(operator: string, a: Operand, b: Operand): [Value, Value] {
  if (typeof a === 'number') {
    if (typeof b === 'number')
      throw new GraphError(`${operator}: one operand must be a graph value, got ${a} and ${b}`);
    return [b.graph.scalar(a, b.dtype), b];
  }
  const right = typeof b === 'number' ? a.graph.scalar(b, a.dtype) : b;
  if (a.dtype !== right.dtype) {
    throw new GraphError(
      `${operator}: dtypes differ: ${a.dtype} ${formatShape(a.shape)} and ${right.dtype} ${formatShape(right.shape)}`,
    );
  }
  return [a, right];
}

/**
 * A scalar that meets a tensor whose last axis has length 1 (a 1 x 1 kernel) gets as many axes as the tensor: ONNX
 * Runtime's CPU provider repeats a scalar without axes along the last axis only, and would call its kernel once for every
 * element.
 */
function withAxes(scalar: Value, other: Value): Value {
  if (scalar.shape.length > 0 || other.shape.length < 2 || other.shape.at(-1) !== 1) return scalar;
  return reshape(
    scalar,
    other.shape.map(() => 1),
  );
}

function binary(operator: Operator) {
  return (a: Operand, b: Operand): Value => {
    const [one, other] = pair(operator, a, b);
    const [left, right] = [withAxes(one, other), withAxes(other, one)];
    const shape = broadcastShapes(operator, left.shape, right.shape);
    return emitOne(operator, [left, right], { dtype: left.dtype, shape });
  };
}

function comparison(operator: Operator) {
  return (a: Operand, b: Operand): Value => {
    const [left, right] = pair(operator, a, b);
    return emitOne(operator, [left, right], {
      dtype: 'bool',
      shape: broadcastShapes(operator, left.shape, right.shape),
    });
  };
}

function unary(operator: Operator) {
  return (x: Value): Value => emitOne(operator, [x], { dtype: x.dtype, shape: x.shape });
}

export const add = binary('Add');
export const sub = binary('Sub');
export const mul = binary('Mul');
export const div = binary('Div');
export const greater = comparison('Greater');
export const neg = unary('Neg');
export const exp = unary('Exp');
export const log = unary('Log');
export const sqrt = unary('Sqrt');
export const erf = unary('Erf');
export const relu = unary('Relu');
export const identity = unary('Identity');

/**
 * The Heaviside function: 1 where x > 0, else 0, in x's dtype. In float32 one pass instead of a comparison and a
 * conversion: HardSigmoid is max(0, min(1, alpha x)), and with this alpha even the smallest normal number gives 1 (up to
 * rounding).
 */
export function heaviside(x: Value): Value {
  if (x.dtype !== 'float32') return cast(greater(x, 0), x.dtype);
  const alpha = { float: 3e38 };
  return emitOne('HardSigmoid', [x], { dtype: x.dtype, shape: x.shape }, { alpha, beta: { float: 0 } });
}

/** (x + 1) / 2 of values in -1..1 (values outside give 0 or 1): HardSigmoid in float32, one pass instead of two. */
export function halfAbove(x: Value): Value {
  if (x.dtype !== 'float32') return add(mul(x, 0.5), 0.5);
  return emitOne(
    'HardSigmoid',
    [x],
    { dtype: x.dtype, shape: x.shape },
    { alpha: { float: 0.5 }, beta: { float: 0.5 } },
  );
}

/** Elementwise choice: `yes` where the condition holds, else `no`. */
export function where(condition: Value, yes: Value, no: Value): Value {
  if (condition.dtype !== 'bool') throw new GraphError(`Where: the condition must be bool, got ${condition.dtype}`);
  const [left, right] = pair('Where', yes, no);
  const shape = broadcastShapes('Where', condition.shape, broadcastShapes('Where', left.shape, right.shape));
  return emitOne('Where', [condition, left, right], { dtype: left.dtype, shape });
}

/** Conversion to another dtype; the value itself if it already has it. */
export function cast(x: Value, dtype: ElementType): Value {
  if (x.dtype === dtype) return x;
  return emitOne('Cast', [x], { dtype, shape: x.shape }, { to: ONNX_TYPE_CODES[dtype] });
}

/** What is added up: a value of 16 bits in float32. */
export function widened(x: Value): Value {
  return isHalf(x.dtype) ? cast(x, 'float32') : x;
}

/**
 * Exact GELU, x * Phi(x) with the error function: one operator from opset 20 on, the same composed of older ones before
 * (Hendrycks and Gimpel, arXiv 1606.08415).
 */
export function gelu(x: Value): Value {
  if (x.graph.opset >= operators.Gelu.since!) return emitOne('Gelu', [x], { dtype: x.dtype, shape: x.shape });
  const halfErf = add(erf(div(x, Math.SQRT2)), 1);
  return mul(mul(x, halfErf), 0.5);
}
