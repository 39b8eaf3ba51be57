import { elementCount } from '../../tensor/tensor.js';
import type { Value } from '../graph.js';
import { gemm, matmul } from '../ops/linear.js';
import { matrixTranspose, reshape } from '../ops/shape.js';
import { staticShape } from '../shapes.js';
import type { FamilyGradients } from './rule.js';

/** All leading axes of [..., K] as rows: [M, K]. */
function asRows(x: Value): Value {
  const shape = staticShape(x.shape, 'MatMul');
  return reshape(x, [elementCount(shape.slice(0, -1)), shape.at(-1)!]);
}

export const linearRules = {
  // d(A B): dA = gy B^T, dB = A^T gy; a shared matrix B takes its gradient from all rows in one Gemm
  MatMul: ({ x: [a, b], gy }) => [
    () => matmul(gy, matrixTranspose(b!)),
    () => (b!.shape.length === 2 ? gemm(asRows(a!), asRows(gy), { transA: true }) : matmul(matrixTranspose(a!), gy)),
  ],
  // as MatMul, with the transpositions folded into the products
  Gemm: ({ node, x: [a, b], gy }) => {
    const transA = node.attributes['transA'] === 1;
    const transB = node.attributes['transB'] === 1;
    return [
      () => (transA ? gemm(b!, gy, { transA: transB, transB: true }) : gemm(gy, b!, { transB: !transB })),
      () => (transB ? gemm(gy, a!, { transA: true, transB: transA }) : gemm(a!, gy, { transA: !transA })),
      () => gy,
    ];
  },
} satisfies FamilyGradients;
