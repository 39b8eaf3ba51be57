import type { ParameterSpec } from '../nn/parameters.js';
import { Graph, type Value } from '../onnx/graph.js';
import { emitUpdates, type ParameterGradient } from '../optim/updates.js';
import { elementCount } from '../tensor/tensor.js';
import { clipScale, GRADIENT_NORM, globalNorm, scaledGradients } from './clip.js';
import type { LoggedGraph, Term } from './loggedTerms.js';
import { type LossScaling, lossScaling } from './lossScale.js';
import { type StepConfig, stepNames } from './stepConfig.js';

/** The optimizer as separate graphs, for gradients that are summed over several runs. */

/** Elements of the parameters that are updated at a time (16 MiB of float32); a larger parameter is a group by itself. */
const GROUP_ELEMENTS = 2 ** 22;

/** Parameters in order, in groups that are updated in turn: only one group's old and new values are in memory at a time. */
export function updateGroups(
  parameters: readonly ParameterSpec[],
  maxElements = GROUP_ELEMENTS,
): readonly (readonly ParameterSpec[])[] {
  const groups: ParameterSpec[][] = [];
  let elements = Number.POSITIVE_INFINITY;
  for (const parameter of parameters) {
    const count = elementCount(parameter.shape);
    if (elements + count > maxElements) {
      groups.push([]);
      elements = 0;
    }
    groups.at(-1)!.push(parameter);
    elements += count;
  }
  return groups;
}

/** Parameters, and their gradients from those of the scaled loss. */
function gradientInputs(
  graph: Graph,
  parameters: readonly ParameterSpec[],
  { unscaled }: LossScaling,
): ParameterGradient[] {
  return parameters.map(({ name, shape }) => ({
    value: graph.input(name, 'float32', shape),
    gradient: unscaled(graph.input(stepNames.gradient(name), 'float32', shape)),
  }));
}

/** Norm of all gradients from the parameters' inputs and theirs, as the output `grad_norm`, and the scale of the loss after it. */
export function buildGradientNorm(
  parameters: readonly ParameterSpec[],
  config: Pick<StepConfig, 'precision'>,
): LoggedGraph {
  const graph = new Graph();
  const scaling = lossScaling(graph, config);
  const norm = globalNorm(gradientInputs(graph, parameters, scaling));
  const logs = new Map<Term, Value>([[GRADIENT_NORM, norm], ...scaling.settle(norm).terms]);
  for (const [name, value] of logs) graph.output(name, value);
  return { graph, logs: [...logs.keys()] };
}

/**
 * Update of a group: parameters, gradients (`stepNames.gradient`), state, scalars and, where gradients are clipped,
 * `grad_norm` to parameters and state.
 */
export function buildUpdate(
  group: readonly ParameterSpec[],
  config: Pick<StepConfig, 'optimizer' | 'clipNorm' | 'precision'>,
): Graph {
  const { optimizer, clipNorm } = config;
  const graph = new Graph();
  const gradients = gradientInputs(graph, group, lossScaling(graph, config));
  emitUpdates(
    clipNorm === undefined
      ? gradients
      : scaledGradients(gradients, clipScale(graph.input(GRADIENT_NORM, 'float32', []), clipNorm)),
    optimizer,
  );
  return graph;
}
