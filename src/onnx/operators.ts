import type { DType } from '../tensor/tensor.js';
import type { ElementType, HalfType } from './elementTypes.js';

/**
 * What is known of every ONNX operator that graphs may hold. One table: the graph builder takes no other operator, and
 * rules/table.ts must define how each is differentiated, so that an operator without its facts does not compile.
 * Element types are those of the operator sets that are built (17 and 20), among the types that tensors here have.
 */

const FLOATS = ['float16', 'float32', 'float64'] as const satisfies readonly DType[];
const INDICES = ['int64'] as const satisfies readonly DType[];
const BYTES = ['int8', 'uint8'] as const satisfies readonly DType[];
const NUMBERS = [...FLOATS, 'int8', 'int32', 'int64', 'uint8'] as const satisfies readonly DType[];
const ANY = [...NUMBERS, 'bool'] as const satisfies readonly DType[];
const BOOLS = ['bool'] as const satisfies readonly DType[];
/** Of operators that products in bfloat16 and their gradients need. */
const FLOATS_AND_BFLOAT16 = [...FLOATS, 'bfloat16'] as const satisfies readonly ElementType[];
const ANY_AND_BFLOAT16 = [...ANY, 'bfloat16'] as const satisfies readonly ElementType[];

/** Types of an input or output: a fixed list, or a type variable, which is one type throughout a call. */
type Parameter = 'T' | 'U' | readonly ElementType[];

/** Element types of inputs and outputs, in their order. */
export interface Signature {
  readonly T: readonly ElementType[];
  readonly U?: readonly ElementType[];
  /** A call may leave out optional inputs at the end. */
  readonly inputs: readonly Parameter[];
  readonly outputs: readonly Parameter[];
  /** The last parameter repeats for all inputs (outputs) that follow. */
  readonly variadic?: true;
}

/** What ONNX Runtime's CUDA provider has; test/cuda/kernels.test.ts checks it against the provider's own list. */
export interface CudaFacts {
  /**
   * The last operator set with a kernel. A kernel that is registered for an older form of the operator does not count.
   * Absent: there is a kernel in all operator sets that are built.
   */
  readonly lastOpset?: number;
  /** Values of attributes that the kernel refuses. The provider's list does not show them. */
  readonly refuses?: Readonly<Record<string, readonly (number | string)[]>>;
}

/** What ONNX Runtime's CPU provider has. */
export interface CpuFacts {
  /**
   * Types of 16 bits of which it has a kernel that also adds up in 16 bits, on some processor at least. Sums lose their last digits
   * (16,384 ones make 14,336), and overflow where only a part of them is large. Of an operator without a kernel for a type, the runtime
   * converts operands and result by itself, and the sums are in float32.
   */
  readonly narrowSums?: readonly HalfType[];
}

export interface OperatorFacts {
  readonly types: Signature;
  /** The operator set that introduced it, if later than 13. */
  readonly since?: number;
  /**
   * How ONNX Runtime stores the first output: `view` shows the bytes of the first input, `in-place` may write over an
   * input of the same size that nothing else reads any more, `new` has bytes of its own.
   */
  readonly memory: 'view' | 'in-place' | 'new';
  /** Each element of the output is a function of the (broadcast) operands' elements at its own position. */
  readonly elementwise: boolean;
  /**
   * In graphs with float16 arithmetic (src/models/halfCompute.ts): whether it computes in float16, or stays in float32
   * because its sums or its range do not fit into float16.
   */
  readonly half: 'float16' | 'float32';
  /**
   * The types in which it is computed in training of that precision (see ops/product.ts), because ONNX Runtime's CUDA provider
   * has kernels for it and its gradients; none: it stays in float32.
   */
  readonly halfProducts: readonly HalfType[];
  /**
   * Outputs after the first are left out of the encoded graph when nothing reads them. A MaxPool that also gives its
   * indices has no blocked kernel on the CPU provider: it took ten of the 53 ms of a ResNet-50.
   */
  readonly optionalOutputs: boolean;
  /** Multiply-adds per output element: the elements of a row of the first input, or of a filter of the second input. */
  readonly multiplyAdds: 'none' | 'row' | 'filter';
  readonly cuda: CudaFacts;
  readonly cpu: CpuFacts;
}

type Types = Pick<Signature, 'T' | 'inputs' | 'outputs'> & Partial<Signature>;
const unary = (T: readonly ElementType[]): Types => ({ T, inputs: ['T'], outputs: ['T'] });
const binary = (T: readonly ElementType[]): Types => ({ T, inputs: ['T', 'T'], outputs: ['T'] });

/** What most operators have in common. */
const USUAL = {
  memory: 'new',
  elementwise: false,
  half: 'float16',
  halfProducts: [],
  optionalOutputs: false,
  multiplyAdds: 'none',
  cuda: {},
  cpu: {},
} as const;
const ELEMENTWISE = { ...USUAL, memory: 'in-place', elementwise: true } as const;
const VIEW = { ...USUAL, memory: 'view' } as const;
const REDUCTION = { ...USUAL, half: 'float32' } as const;

const table = {
  // elementwise
  Add: { ...ELEMENTWISE, types: binary(NUMBERS) },
  Sub: { ...ELEMENTWISE, types: binary(NUMBERS) },
  Mul: { ...ELEMENTWISE, types: binary(NUMBERS) },
  Div: { ...ELEMENTWISE, types: binary(NUMBERS) },
  Neg: { ...ELEMENTWISE, types: unary([...FLOATS, 'int8', 'int32', 'int64']) },
  Exp: { ...ELEMENTWISE, types: unary(FLOATS), half: 'float32' },
  Log: { ...ELEMENTWISE, types: unary(FLOATS), half: 'float32' },
  Sqrt: { ...ELEMENTWISE, types: unary(FLOATS), half: 'float32' },
  Erf: { ...ELEMENTWISE, types: unary(FLOATS) },
  Relu: { ...ELEMENTWISE, types: unary(FLOATS) },
  HardSigmoid: { ...ELEMENTWISE, types: unary(FLOATS) },
  Gelu: { ...ELEMENTWISE, memory: 'new', types: unary(FLOATS), since: 20 },
  Where: { ...ELEMENTWISE, types: { T: ANY, inputs: [BOOLS, 'T', 'T'], outputs: ['T'] } },
  Greater: { ...ELEMENTWISE, memory: 'new', types: { T: NUMBERS, inputs: ['T', 'T'], outputs: [BOOLS] } },
  // A conversion keeps the types that it was given, in float16 arithmetic too.
  Cast: {
    ...ELEMENTWISE,
    memory: 'new',
    half: 'float32',
    types: { T: ANY_AND_BFLOAT16, inputs: ['T'], outputs: [ANY_AND_BFLOAT16] },
  },
  Identity: { ...VIEW, elementwise: true, types: unary(ANY) },
  // reductions
  ReduceSum: { ...REDUCTION, types: { T: NUMBERS, inputs: ['T', INDICES], outputs: ['T'] } },
  ReduceMean: { ...REDUCTION, types: { T: NUMBERS, inputs: ['T', INDICES], outputs: ['T'] } },
  LogSoftmax: { ...REDUCTION, types: unary(FLOATS) },
  ArgMin: {
    ...USUAL,
    types: { T: NUMBERS, inputs: ['T'], outputs: [INDICES] },
    cuda: { refuses: { select_last_index: [1] } },
  },
  // shapes and copies
  Reshape: { ...VIEW, types: { T: ANY_AND_BFLOAT16, inputs: ['T', INDICES], outputs: ['T'] } },
  Unsqueeze: { ...VIEW, types: { T: ANY, inputs: ['T', INDICES], outputs: ['T'] } },
  Shape: { ...USUAL, types: { T: ANY, inputs: ['T'], outputs: [INDICES] } },
  Transpose: { ...USUAL, types: unary(ANY_AND_BFLOAT16) },
  Slice: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES, INDICES, INDICES, INDICES], outputs: ['T'] } },
  Concat: { ...USUAL, types: { T: ANY, inputs: ['T'], outputs: ['T'], variadic: true } },
  Expand: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES], outputs: ['T'] } },
  // The kernel is registered for the form of 18 alone, and Pad changed in 19.
  Pad: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES, 'T'], outputs: ['T'] }, cuda: { lastOpset: 18 } },
  // Only in exported graphs.
  Resize: {
    ...USUAL,
    types: { T: FLOATS, inputs: ['T', ['float32'], ['float32'], INDICES], outputs: ['T'] },
    // The kernel is registered for the form of 18 alone, and Resize changed in 19.
    cuda: { lastOpset: 18 },
  },
  // matrix products and convolutions
  MatMul: {
    ...USUAL,
    types: binary([...FLOATS_AND_BFLOAT16, 'int32', 'int64']),
    halfProducts: ['float16', 'bfloat16'],
    multiplyAdds: 'row',
  },
  Gemm: {
    ...USUAL,
    types: { T: [...FLOATS_AND_BFLOAT16, 'int32', 'int64'], inputs: ['T', 'T', 'T'], outputs: ['T'] },
    halfProducts: ['float16', 'bfloat16'],
    multiplyAdds: 'row',
    cpu: { narrowSums: ['float16'] },
  },
  // CUDA's kernel takes bfloat16 in operator set 22 only, and that of ConvTranspose, its gradient, in none.
  Conv: {
    ...USUAL,
    types: { T: FLOATS, inputs: ['T', 'T', 'T'], outputs: ['T'] },
    halfProducts: ['float16'],
    multiplyAdds: 'filter',
    // The kernel is that of processors with vectors of float16 (ARM).
    cpu: { narrowSums: ['float16'] },
  },
  // Only in gradients, whose multiply-adds are not counted.
  ConvTranspose: {
    ...USUAL,
    types: { T: FLOATS, inputs: ['T', 'T', 'T'], outputs: ['T'] },
    halfProducts: ['float16'],
  },
  MaxPool: {
    ...USUAL,
    types: { T: [...FLOATS, ...BYTES], inputs: ['T'], outputs: ['T', INDICES] },
    optionalOutputs: true,
  },
  // normalisation
  BatchNormalization: {
    ...REDUCTION,
    types: { T: FLOATS, inputs: ['T', 'T', 'T', 'T', 'T'], outputs: ['T', 'T', 'T'] },
    cuda: { refuses: { training_mode: [1] } },
  },
  LayerNormalization: {
    ...REDUCTION,
    types: { T: FLOATS, inputs: ['T', 'T', 'T'], outputs: ['T', 'T', 'T'] },
    since: 17,
    optionalOutputs: true,
  },
  // indexing
  Gather: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES], outputs: ['T'] } },
  GatherElements: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES], outputs: ['T'] } },
  OneHot: { ...USUAL, types: { T: ANY, inputs: [INDICES, INDICES, 'T'], outputs: ['T'] } },
  TopK: { ...USUAL, types: { T: NUMBERS, inputs: ['T', INDICES], outputs: ['T', INDICES] } },
  ScatterElements: { ...USUAL, types: { T: ANY, inputs: ['T', INDICES, 'T'], outputs: ['T'] } },
  ScatterND: {
    ...USUAL,
    types: { T: ANY, inputs: ['T', INDICES, 'T'], outputs: ['T'] },
    cuda: { refuses: { reduction: ['mul', 'min', 'max'] } },
  },
  // quantisation
  QuantizeLinear: {
    ...USUAL,
    half: 'float32',
    types: { T: ['float32'], U: BYTES, inputs: ['T', 'T', 'U'], outputs: ['U'] },
  },
  // CUDA has no kernel for int32, the type of a bias.
  DequantizeLinear: {
    ...USUAL,
    half: 'float32',
    types: { T: ['float32'], U: [...BYTES, 'int32'], inputs: ['U', 'T', 'U'], outputs: ['T'] },
  },
  // control flow; states and slices may differ in type
  Scan: { ...USUAL, types: { T: ANY, inputs: [ANY], outputs: [ANY], variadic: true } },
} as const satisfies Readonly<Record<string, OperatorFacts>>;

/** Name of an operator that graphs may hold. */
export type Operator = keyof typeof table;

/** Facts by operator. */
export const operators: Readonly<Record<Operator, OperatorFacts>> = table;

/** Whether elements are real numbers, to which gradients flow. */
export function isFloat(type: ElementType): boolean {
  return (FLOATS_AND_BFLOAT16 as readonly ElementType[]).includes(type);
}

/** Types that a parameter may have, and the name of its type variable. */
function allowedTypes({ T, U = [], variadic }: Signature, parameters: readonly Parameter[], at: number) {
  const parameter = parameters[at] ?? (variadic ? parameters.at(-1) : undefined);
  if (parameter === 'T') return { types: T, variable: parameter };
  if (parameter === 'U') return { types: U, variable: parameter };
  return { types: parameter };
}

/**
 * Why element types do not fit an operator, or undefined if they do.
 * @param inputs undefined where an optional input is absent.
 */
export function typeProblem(
  operator: Operator,
  inputs: readonly (ElementType | undefined)[],
  outputs: readonly ElementType[],
): string | undefined {
  const { types: signature } = operators[operator];
  const bound = new Map<string, ElementType>();
  for (const [kind, given, parameters] of [
    ['input', inputs, signature.inputs],
    ['output', outputs, signature.outputs],
  ] as const) {
    for (const [at, dtype] of given.entries()) {
      if (dtype === undefined) continue;
      const { types, variable } = allowedTypes(signature, parameters, at);
      if (types === undefined) return `${operator}: it has no ${kind} ${at}`;
      if (!types.includes(dtype)) return `${operator}: ${kind} ${at} is ${dtype}; it may be ${types.join(', ')}`;
      if (variable === undefined) continue;
      const other = bound.get(variable);
      if (other !== undefined && other !== dtype)
        return `${operator}: ${kind} ${at} is ${dtype}, where ${other} is needed`;
      bound.set(variable, dtype);
    }
  }
  return undefined;
}
