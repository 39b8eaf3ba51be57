import { emitOne, type Value } from '../graph.js';
import { broadcastShapes, formatShape, GraphError, isStatic, sameShape } from '../shapes.js';
import { add } from './elementwise.js';
import { product } from './product.js';
import { matrixTranspose, reshape } from './shape.js';

/** Matrix products. */

/** Matrix product of the last two axes, leading axes broadcast: [..., M, K] x [..., K, N] -> [..., M, N]. */
export function matmul(a: Value, b: Value): Value {
  return product('MatMul', [a, b], emitMatmul);
}

function emitMatmul([a, b]: readonly [Value, Value]): Value {
  const [rows, inner] = a.shape.slice(-2);
  const [innerOther, columns] = b.shape.slice(-2);
  if (a.shape.length < 2 || b.shape.length < 2 || inner !== innerOther || a.dtype !== b.dtype) {
    throw new GraphError(
      `MatMul: ${a.dtype} ${formatShape(a.shape)} and ${b.dtype} ${formatShape(b.shape)} do not multiply`,
    );
  }
  const batch = broadcastShapes('MatMul', a.shape.slice(0, -2), b.shape.slice(0, -2));
  return emitOne('MatMul', [a, b], { dtype: a.dtype, shape: [...batch, rows as number, columns as number] });
}

interface GemmOptions {
  readonly transA?: boolean;
  readonly transB?: boolean;
  /** Added to the product; broadcasts to [M, N]. */
  readonly bias?: Value;
}

/** Product of two matrices, each optionally transposed on the way: [M, K] x [K, N] (+ bias) -> [M, N]. */
export function gemm(a: Value, b: Value, { bias, ...transposed }: GemmOptions = {}): Value {
  return product('Gemm', [a, b, bias], (operands) => emitGemm(operands, transposed));
}

function emitGemm(
  [a, b, bias]: readonly [Value, Value, Value | undefined],
  { transA = false, transB = false }: Omit<GemmOptions, 'bias'>,
): Value {
  const [rows, inner] = transA ? [a.shape[1], a.shape[0]] : a.shape;
  const [innerOther, columns] = transB ? [b.shape[1], b.shape[0]] : b.shape;
  if (a.shape.length !== 2 || b.shape.length !== 2 || inner !== innerOther || a.dtype !== b.dtype) {
    const marks = `${formatShape(a.shape)}${transA ? '^T' : ''} and ${formatShape(b.shape)}${transB ? '^T' : ''}`;
    throw new GraphError(`Gemm: ${a.dtype} ${marks} ${b.dtype} do not multiply`);
  }
  const shape = [rows as number, columns as number];
  if (bias !== undefined && !sameShape(broadcastShapes('Gemm', shape, bias.shape), shape)) {
    throw new GraphError(`Gemm: bias ${formatShape(bias.shape)} does not broadcast to ${formatShape(shape)}`);
  }
  return emitOne(
    'Gemm',
    bias === undefined ? [a, b] : [a, b, bias],
    { dtype: a.dtype, shape },
    { transA: transA ? 1 : 0, transB: transB ? 1 : 0 },
  );
}

/**
 * PyTorch's Linear on the last axis: x [..., I], weight [O, I], bias [O] -> [..., O].
 * Static shapes become one Gemm over all rows; dynamic ones a MatMul with the transposed weight, which ONNX Runtime
 * folds into the constant.
 */
export function linear(x: Value, weight: Value, bias?: Value): Value {
  const [outputs, inputs] = weight.shape as [number, number];
  if (weight.shape.length !== 2 || x.shape.at(-1) !== inputs) {
    throw new GraphError(`Linear: input ${formatShape(x.shape)} does not fit the weight ${formatShape(weight.shape)}`);
  }
  if (bias !== undefined && !sameShape(bias.shape, [outputs])) {
    throw new GraphError(
      `Linear: bias ${formatShape(bias.shape)} does not fit the weight ${formatShape(weight.shape)}`,
    );
  }
  if (isStatic(x.shape)) {
    const rows = reshape(x, [-1, inputs]);
    const product = gemm(rows, weight, { transB: true });
    // Gemm on the CPU provider fills its output with the bias first, on one thread: adding it afterwards is faster.
    return reshape(bias === undefined ? product : add(product, bias), [...x.shape.slice(0, -1), outputs]);
  }
  const product = matmul(x, matrixTranspose(weight));
  return bias === undefined ? product : add(product, bias);
}
