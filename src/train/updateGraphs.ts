import type { ParameterSpec } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import { emitUpdates, type ParameterGradient } from '../optim/updates.js';
import { elementCount } from '../tensor/tensor.js';
import { clipScale, GRADIENT_NORM, globalNorm, scaledGradients } from './clip.js';
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

function gradientInputs(graph: Graph, parameters: readonly ParameterSpec[]): ParameterGradient[] {
  return parameters.map(({ name, shape }) => ({
    value: graph.input(name, 'float32', shape),
    gradient: graph.input(stepNames.gradient(name), 'float32', shape),
  }));
}

/** Norm of all gradients from the parameters' inputs and theirs, as the output `grad_norm`. */
export function buildGradientNorm(parameters: readonly ParameterSpec[]): Graph {
  const graph = new Graph();
  graph.output(GRADIENT_NORM, globalNorm(gradientInputs(graph, parameters)));
  return graph;
}

/**
 * Update of a group: parameters, gradients (`stepNames.gradient`), state, scalars and, where gradients are clipped,
 * `grad_norm` to parameters and state.
 */
export function buildUpdate(
  group: readonly ParameterSpec[],
  { optimizer, clipNorm }: Pick<StepConfig, 'optimizer' | 'clipNorm'>,
): Graph {
  const graph = new Graph();
  const gradients = gradientInputs(graph, group);
  emitUpdates(
    clipNorm === undefined
      ? gradients
      : scaledGradients(gradients, clipScale(graph.input(GRADIENT_NORM, 'float32', []), clipNorm)),
    optimizer,
  );
  return graph;
}
