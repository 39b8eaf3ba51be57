import { checkParameters, inputParameters, ParameterError, type Parameters } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, TRAINING_OPSET, type Value } from '../onnx/graph.js';
import { createSession, runSession, type SessionConfig } from '../onnx/session.js';
import type { Optimizer } from '../optim/optimizer.js';
import { startState, stateSpecs, updatedName } from '../optim/state.js';
import { emitUpdates } from '../optim/updates.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** What a step of a head computes: its loss, a scalar, and other scalars to log. */
export interface HeadStep {
  readonly loss: Value;
  readonly logs: Readonly<Record<string, Value>>;
}

export interface HeadTrainerOptions {
  readonly optimizer: Optimizer;
  /** Seed of the initial parameters. */
  readonly seed: number;
  readonly session?: SessionConfig;
  /** Parameters, optimizer state and running statistics to go on from, as `state` gave them. */
  readonly resumed?: ReadonlyMap<string, Tensor>;
}

/** A step whose loss or update is not finite. The head is as it was before it. */
export class DivergedError extends Error {
  override readonly name = 'DivergedError';
}

/** Trains a head on features that do not change: the network is frozen, and is not part of the graph. */
export interface HeadTrainer {
  /**
   * Takes one step.
   * @param feeds the inputs that `emit` declared.
   * @param step counted from 0.
   * @returns `loss` and the logged scalars, as they were before the update.
   * @throws DivergedError.
   */
  step(
    feeds: ReadonlyMap<string, Tensor>,
    step: number,
    learningRate: number,
  ): Promise<Readonly<Record<string, number>>>;
  /** Parameters, optimizer state and running statistics by name, for a checkpoint. */
  state(): ReadonlyMap<string, Tensor>;
  /** Parameters and running statistics alone: what inference needs. */
  weights(): ReadonlyMap<string, Tensor>;
  close(): Promise<void>;
}

/**
 * Builds the whole step of a head (forward, loss, gradient, update) as one ONNX graph, and a session for it.
 * @param emit declares the inputs (features, labels) on `parameters.graph` and emits the forward pass in training mode.
 * @throws ParameterError for a resumed state that does not fit.
 */
export async function createHeadTrainer(
  emit: (parameters: Parameters) => HeadStep,
  { optimizer, seed, session = {}, resumed }: HeadTrainerOptions,
): Promise<HeadTrainer> {
  const graph = new Graph(TRAINING_OPSET, session.device ?? 'cpu');
  const parameters = inputParameters(graph);
  const { loss, logs } = emit(parameters);
  const values = parameters.specs.map(({ name, shape, initialiser }) => parameters.get(name, shape, initialiser));
  const parameterGradients = gradients(loss, values).map((gradient, i) => ({ value: values[i]!, gradient }));
  emitUpdates(parameterGradients, optimizer);
  for (const { name, value } of parameters.buffers) graph.output(updatedName(name), value);
  const logged = { loss, ...logs };
  for (const [name, value] of Object.entries(logged)) graph.output(name, value);

  const specs = stateSpecs({ parameters: parameters.specs, buffers: parameters.buffers }, { optimizer });
  if (resumed !== undefined) {
    const problems = checkParameters(specs, resumed);
    if (problems.length > 0) throw new ParameterError(`the state does not fit the head:\n  ${problems.join('\n  ')}`);
  }
  let state = startState(specs, { initial: resumed ?? new Map(), seed });
  const running = await createSession(encodeModel(graph), session);
  const names = [...parameters.specs, ...parameters.buffers].map(({ name }) => name);
  return {
    state: () => state,
    weights: () => new Map(names.map((name) => [name, state.get(name)!])),
    close: () => running.release(),
    async step(feeds, step, learningRate) {
      const scalars = Object.entries(optimizer.scalarValues(step, learningRate)).map(
        ([name, scalar]) => [name, tensor('float32', [], Float32Array.of(scalar))] as const,
      );
      const found = await runSession(running, new Map<string, Tensor>([...state, ...scalars, ...feeds]));
      const terms = Object.fromEntries(Object.keys(logged).map((name) => [name, Number(found.get(name)!.data[0])]));
      const next = new Map(specs.map(({ name }) => [name, found.get(updatedName(name))!]));
      const finite =
        Object.values(terms).every(Number.isFinite) &&
        [...next.values()].every(({ data }) => (data as Float32Array).every(Number.isFinite));
      if (!finite) throw new DivergedError(`step ${step}: loss or weights are not finite; lower the learning rate`);
      state = next;
      return terms;
    },
  };
}
