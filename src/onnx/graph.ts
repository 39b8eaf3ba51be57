import { float32ToFloat16 } from '../tensor/float16.js';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.js';
import type { ElementType, HalfType } from './elementTypes.js';
import { type Operator, operators, typeProblem } from './operators.js';
import { formatShape, GraphError, type Shape } from './shapes.js';

/** A tensor in a graph: an input, a constant or the output of a node. */
export interface Value {
  readonly graph: Graph;
  readonly name: string;
  readonly dtype: ElementType;
  readonly shape: Shape;
  /** The node that computes it; absent for inputs and constants. */
  readonly node?: Node;
  /** Its elements, for constants only. */
  readonly constant?: Tensor;
}

/** A graph that a control-flow operator runs; its inputs and outputs are bound by position. */
export interface Body {
  readonly graph: Graph;
  /** Names of all its inputs, in the operator's order. */
  readonly inputs: readonly string[];
  /** Names of outputs, in the operator's order. */
  readonly outputs: readonly string[];
}

export type AttributeValue = number | readonly number[] | string | { readonly float: number } | { readonly body: Body };
export type Attributes = Readonly<Record<string, AttributeValue>>;

/** One ONNX operator call. An absent optional input is undefined. */
export interface Node {
  readonly operator: Operator;
  readonly name: string;
  readonly inputs: readonly (Value | undefined)[];
  readonly outputs: readonly Value[];
  readonly attributes: Attributes;
}

/** A derivative of one value with respect to another that it was computed from, used in place of the rules between them. */
export interface Pullback {
  readonly x: Value;
  /** From the gradient with respect to the value to the gradient with respect to x. */
  readonly pull: (gy: Value) => Value;
}

/** dtype and shape of a node's output. */
export interface ValueType {
  readonly dtype: ElementType;
  readonly shape: Shape;
}

/** ONNX Runtime's execution providers that graphs are built for. */
export type Provider = 'cpu' | 'cuda';

/** Operator set of training graphs (Gelu is an operator from 20 on). */
export const TRAINING_OPSET = 20;
/** Operator set of exported graphs: what ONNX Runtime 1.17, TensorRT and OpenVINO read. */
export const EXPORT_OPSET = 17;

/**
 * An ONNX graph under construction. Operators are emitted by the functions of onnx/ops, which infer and check shapes;
 * nodes are in topological order because a value must exist before it is used.
 */
export class Graph {
  readonly opset: number;
  readonly provider: Provider;
  readonly nodes: Node[] = [];
  readonly inputs: Value[] = [];
  readonly constants: Value[] = [];
  readonly outputs = new Map<string, Value>();
  /** Shapes under which outputs are declared, where they differ from the inferred ones (see output). */
  readonly declaredShapes = new Map<string, Shape>();
  /** Values that pass no gradient on (see ops/differentiation.ts). */
  readonly detached = new Set<Value>();
  /** Values with derivatives of their own (see ops/differentiation.ts). */
  readonly pullbacks = new Map<Value, Pullback[]>();
  /** Values that stand for the sum of their node's input over all ranks (see ops/exchange.ts). */
  readonly exchanged = new Set<Value>();

  readonly #names = new Set<string>();
  readonly #cached = new Map<string, Value>();
  #scope: readonly string[] = [];
  #counter = 0;
  #productType: HalfType | undefined;

  /** @param provider that will run the graph: gradients and layers choose the forms that are fast there. */
  constructor(opset: number = TRAINING_OPSET, provider: Provider = 'cpu') {
    this.opset = opset;
    this.provider = provider;
  }

  /** Declares an input. */
  input(name: string, dtype: ElementType, shape: Shape): Value {
    const value: Value = { graph: this, name: this.#claim(name), dtype, shape };
    this.inputs.push(value);
    return value;
  }

  /** Adds a constant (an ONNX initializer). */
  constant(value: Tensor, name = this.#fresh('constant')): Value {
    const constant: Value = {
      graph: this,
      name: this.#claim(name),
      dtype: value.dtype,
      shape: value.shape,
      constant: value,
    };
    this.constants.push(constant);
    return constant;
  }

  /** A float constant with the shape [], shared by equal calls. */
  scalar(value: number, dtype: ElementType = 'float32'): Value {
    return this.shared(`${dtype}:${value}`, () => {
      if (dtype === 'float16') return tensor('float16', [], float32ToFloat16(Float32Array.of(value)));
      if (dtype === 'float64') return tensor('float64', [], Float64Array.of(value));
      if (dtype === 'int64') return tensor('int64', [], BigInt64Array.of(BigInt(value)));
      if (dtype === 'float32') return tensor('float32', [], Float32Array.of(value));
      throw new GraphError(`a scalar constant cannot be ${dtype}`);
    });
  }

  /** An int64 vector constant (axes, shapes, pads), shared by equal calls. */
  integers(values: readonly number[]): Value {
    return this.shared(`int64s:${values.join(',')}`, () =>
      tensor('int64', [values.length], BigInt64Array.from(values, BigInt)),
    );
  }

  /**
   * Declares a value as an output under a name of its own.
   * @param shape names for dynamic dimensions, in place of the formulas that inference gives them.
   */
  output(name: string, value: Value, shape?: Shape): void {
    this.#own('output', value);
    if (this.outputs.has(name)) throw new GraphError(`output "${name}" is declared twice`);
    if (this.#names.has(name) && value.name !== name)
      throw new GraphError(`the name "${name}" is taken by another value`);
    this.#names.add(name);
    this.outputs.set(name, value);
    if (shape !== undefined) this.declaredShapes.set(name, shape);
  }

  /** Emits nodes of `build` under a name prefix, so that errors and profiles name their layer. */
  scope<T>(name: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = [...outer, name];
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** The type in which products of float32 are computed now (see ops/product.ts); undefined: float32. */
  get productType(): HalfType | undefined {
    return this.#productType;
  }

  /** Computes the products of `build`, and of the gradients that it declares, in a type; undefined: in float32. */
  productsIn<T>(type: HalfType | undefined, build: () => T): T {
    const outer = this.#productType;
    this.#productType = type;
    try {
      return build();
    } finally {
      this.#productType = outer;
    }
  }

  /**
   * Appends a node; called by the operator functions, which have inferred its outputs.
   * @throws GraphError for a value of another graph, element types that the operator does not take, or an operator that
   *   is newer than the graph's operator set.
   */
  emit(
    operator: Operator,
    inputs: readonly (Value | undefined)[],
    outputs: readonly ValueType[],
    attributes: Attributes = {},
  ): readonly Value[] {
    for (const input of inputs) if (input !== undefined) this.#own(operator, input);
    const { since = 1 } = operators[operator];
    if (since > this.opset) throw new GraphError(`${operator}: operator set ${this.opset} does not have it yet`);
    const problem = typeProblem(
      operator,
      inputs.map((input) => input?.dtype),
      outputs.map(({ dtype }) => dtype),
    );
    if (problem !== undefined) throw new GraphError(problem);
    const name = this.#fresh(operator);
    const values: Value[] = [];
    const node: Node = { operator, name, inputs, outputs: values, attributes };
    outputs.forEach(({ dtype, shape }, i) => {
      const valueName = this.#claim(i === 0 ? name : `${name}:${i}`);
      values.push({ graph: this, name: valueName, dtype, shape, node });
    });
    this.nodes.push(node);
    return values;
  }

  #own(operator: string, value: Value): void {
    if (value.graph !== this) throw new GraphError(`${operator}: "${value.name}" belongs to another graph`);
  }

  /** A constant that is made once for all calls with one key. */
  shared(key: string, make: () => Tensor): Value {
    let value = this.#cached.get(key);
    if (value === undefined) {
      value = this.constant(make());
      this.#cached.set(key, value);
    }
    return value;
  }

  #fresh(base: string): string {
    this.#counter += 1;
    return [...this.#scope, `${base}_${this.#counter}`].join('/');
  }

  #claim(name: string): string {
    if (this.#names.has(name)) throw new GraphError(`the name "${name}" is used twice`);
    this.#names.add(name);
    return name;
  }
}

/** Emits a node with one output. */
export function emitOne(
  operator: Operator,
  inputs: readonly [Value, ...(Value | undefined)[]],
  output: ValueType,
  attributes: Attributes = {},
): Value {
  return inputs[0].graph.emit(operator, inputs, [output], attributes)[0] as Value;
}

/** The elements of a constant integer input. @throws GraphError when the value is not a constant. */
export function constantIntegers(value: Value): readonly number[] {
  if (value.constant === undefined || value.dtype !== 'int64') {
    throw new GraphError(`"${value.name}" ${formatShape(value.shape)} must be an int64 constant`);
  }
  return Array.from(value.constant.data as BigInt64Array, Number);
}

/** Number of elements of a static value. @throws GraphError when a dimension is dynamic. */
export function valueElements(value: Value): number {
  const numbers = value.shape.map((dim) => {
    if (typeof dim === 'string') throw new GraphError(`"${value.name}" ${formatShape(value.shape)} must be static`);
    return dim;
  });
  return elementCount(numbers);
}
