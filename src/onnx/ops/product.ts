import { type HalfType, isHalf } from '../elementTypes.js';
import type { Value } from '../graph.js';
import { operators } from '../operators.js';
import { cast, widened } from './elementwise.js';

/**
 * Mixed precision (Micikevicius et al., arXiv 1710.03740): inside of Graph.productsIn the operands of convolutions and matrix products are
 * converted to 16 bits, and their results back to float32. Everything between them (normalisation, activations, sums, reductions) stays
 * in float32. Products add up in float32 too: CUDA's kernels do; where the CPU provider's kernel does not (see CpuFacts), the product is
 * one of float32 between conversions. A gradient passes through the conversions, so that it is computed the same way.
 */

type Operands = readonly [Value, Value, ...(Value | undefined)[]];

/** Conversions of a value to 16 bits: the views share those of a weight, and gradients those of the forward pass. */
const halves = new WeakMap<Value, Map<HalfType, Value>>();

function toHalf(x: Value, type: HalfType): Value {
  // Widening is exact: the value before it is the same.
  const source = x.node?.operator === 'Cast' ? x.node.inputs[0] : undefined;
  if (source?.dtype === type) return source;
  let known = halves.get(x);
  if (known === undefined) {
    known = new Map();
    halves.set(x, known);
  }
  const half = known.get(type) ?? cast(x, type);
  known.set(type, half);
  return half;
}

/**
 * Emits a product in the type in which it is to be computed: that of an operand of 16 bits (in a gradient), else the graph's
 * (Graph.productType) if the operator can be computed in it.
 * @param build emits the operator for operands of one type.
 * @returns of 16 bits if all operands are; float32 if any of them is.
 */
export function product<T extends Operands>(
  operator: 'Conv' | 'ConvTranspose' | 'Gemm' | 'MatMul',
  operands: T,
  build: (operands: T) => Value,
): Value {
  const given = operands.filter((operand) => operand !== undefined);
  const [{ graph }] = operands;
  const { productType } = graph;
  const type =
    given.map(({ dtype }) => dtype).find(isHalf) ??
    (productType !== undefined && operators[operator].halfProducts.includes(productType) ? productType : undefined);
  if (type === undefined || given.some(({ dtype }) => dtype !== type && dtype !== 'float32')) return build(operands);
  const each = (convert: (operand: Value) => Value) =>
    operands.map((operand) => operand && convert(operand)) as unknown as T;
  const rounded = (operand: Value) => (operand.dtype === type ? operand : toHalf(operand, type));
  const sumsAreNarrow = graph.provider === 'cpu' && (operators[operator].cpu.narrowSums ?? []).includes(type);
  const y = sumsAreNarrow ? cast(build(each((operand) => widened(rounded(operand)))), type) : build(each(rounded));
  return given.every(({ dtype }) => dtype === type) ? y : cast(y, 'float32');
}
