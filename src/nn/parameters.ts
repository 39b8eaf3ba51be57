import type { Graph, Value } from '../onnx/graph.js';
import { cast } from '../onnx/ops/elementwise.js';
import { formatShape, GraphError, sameShape } from '../onnx/shapes.js';
import { stream } from '../tensor/random.js';
import { elementCount, type Tensor, type TensorType, tensor } from '../tensor/tensor.js';

/** Distribution of a parameter's initial elements. */
export type Initialiser =
  | { readonly kind: 'zeros' }
  | { readonly kind: 'ones' }
  | { readonly kind: 'constant'; readonly value: number }
  /** Normal of mean 0. */
  | { readonly kind: 'normal'; readonly std: number }
  /** Normal of mean 0, redrawn outside -2..2 (absolute, as PyTorch's trunc_normal_). */
  | { readonly kind: 'truncatedNormal'; readonly std: number }
  /** Uniform in -bound..bound. */
  | { readonly kind: 'uniform'; readonly bound: number };

/** A parameter of a network, under the name of the authors' checkpoints. */
export interface ParameterSpec {
  readonly name: string;
  readonly shape: readonly number[];
  readonly initialiser: Initialiser;
}

/**
 * Source of a network's parameters. One network definition serves training (parameters are graph inputs), export
 * (constants) and import (the specs define what a checkpoint must contain).
 */
export interface Parameters {
  readonly graph: Graph;
  /** The parameter of a name; later calls (of another view) return the same value. */
  get(name: string, shape: readonly number[], initialiser: Initialiser): Value;
  /** Every parameter so far, in the order of the first calls. */
  readonly specs: readonly ParameterSpec[];
  /** Whether convolutions may take the forms that measured fastest. False only to count FLOPs. */
  readonly measuredForms: boolean;
  /** Whether batch normalisation uses the batch's statistics (and updates the running ones) or the running ones. */
  readonly training: boolean;
  /** This process among those that share the batch. Batch normalisation takes its statistics over all of them. */
  readonly ranks: RankOf;
  /** A running statistic: not trained, but part of the state. After `updateBuffer` its newest value. */
  buffer(name: string, shape: readonly number[], initialiser: Initialiser): Value;
  updateBuffer(name: string, value: Value): void;
  /** Every buffer so far, in the order of the first calls, with its newest value. */
  readonly buffers: readonly (ParameterSpec & { readonly value: Value })[];
}

/** A process among `size` that train together, each on its part of the batch; `rank` from 0. */
export interface RankOf {
  readonly rank: number;
  readonly size: number;
}

const ONE_RANK: RankOf = { rank: 0, size: 1 };

/** Weights that do not fit the network. */
export class ParameterError extends Error {
  override readonly name = 'ParameterError';
}

type ParameterModes = Pick<Parameters, 'training' | 'measuredForms' | 'ranks'>;

function collect(graph: Graph, modes: ParameterModes, make: (spec: ParameterSpec) => Value): Parameters {
  const values = new Map<string, Value>();
  const specs: ParameterSpec[] = [];
  const buffers: ParameterSpec[] = [];
  const find = (list: ParameterSpec[], name: string, shape: readonly number[], initialiser: Initialiser): Value => {
    const known = values.get(name);
    if (known !== undefined) {
      if (!sameShape(known.shape, shape)) {
        throw new GraphError(`parameter "${name}" is ${formatShape(known.shape)}, asked for as ${formatShape(shape)}`);
      }
      return known;
    }
    const spec = { name, shape, initialiser };
    list.push(spec);
    const value = make(spec);
    values.set(name, value);
    return value;
  };
  return {
    graph,
    specs,
    ...modes,
    get: (name, shape, initialiser) => find(specs, name, shape, initialiser),
    buffer: (name, shape, initialiser) => find(buffers, name, shape, initialiser),
    updateBuffer: (name, value) => values.set(name, value),
    get buffers() {
      return buffers.map((spec) => ({ ...spec, value: values.get(spec.name)! }));
    },
  };
}

/**
 * Parameters and buffers as float32 graph inputs under their names: for training, or with `training` false for evaluation
 * with weights that change.
 */
export function inputParameters(
  graph: Graph,
  { measuredForms = true, training = true, ranks = ONE_RANK } = {},
): Parameters {
  return collect(graph, { training, measuredForms, ranks }, ({ name, shape }) => graph.input(name, 'float32', shape));
}

/**
 * Parameters as constants from a checkpoint. float16 constants are cast to float32 where they are used; ONNX Runtime does
 * that once when it loads the graph. A parameter of which only the type is given becomes an input of its name, which
 * encodeModel binds to elements in a file.
 * @throws ParameterError for the first parameter that is missing or of another shape (see checkParameters for all).
 */
export function constantParameters(graph: Graph, tensors: ReadonlyMap<string, Tensor | TensorType>): Parameters {
  return collect(graph, { training: false, measuredForms: true, ranks: ONE_RANK }, (spec) => {
    const [problem] = checkParameters([spec], tensors);
    if (problem !== undefined) throw new ParameterError(problem);
    const found = tensors.get(spec.name)!;
    const value = 'data' in found ? graph.constant(found, spec.name) : graph.input(spec.name, found.dtype, found.shape);
    return cast(value, 'float32');
  });
}

/** One line for each parameter that is missing from the tensors or has another shape there; empty if all fit. */
export function checkParameters(specs: readonly ParameterSpec[], tensors: ReadonlyMap<string, TensorType>): string[] {
  return specs.flatMap(({ name, shape }) => {
    const found = tensors.get(name);
    if (found === undefined) return [`parameter "${name}" ${formatShape(shape)} is missing`];
    if (!sameShape(found.shape, shape)) {
      return [`parameter "${name}" must be ${formatShape(shape)}, found ${formatShape(found.shape)}`];
    }
    return [];
  });
}

/** Draws a parameter's initial elements. They depend on seed and name alone, not on what else is drawn. */
export function initialise({ name, shape, initialiser }: ParameterSpec, seed: number): Tensor<'float32'> {
  const data = new Float32Array(elementCount(shape));
  const random = stream(seed, 'parameter', name);
  switch (initialiser.kind) {
    case 'zeros':
      break;
    case 'ones':
      data.fill(1);
      break;
    case 'constant':
      data.fill(initialiser.value);
      break;
    case 'normal':
      for (let i = 0; i < data.length; i++) data[i] = initialiser.std * random.normal();
      break;
    case 'truncatedNormal':
      for (let i = 0; i < data.length; i++) data[i] = random.truncatedNormal(initialiser.std);
      break;
    case 'uniform':
      for (let i = 0; i < data.length; i++) data[i] = random.uniform(-initialiser.bound, initialiser.bound);
      break;
  }
  return tensor('float32', shape, data);
}
