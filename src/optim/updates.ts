import type { Value } from '../onnx/graph.js';
import { where } from '../onnx/ops/elementwise.js';
import type { Optimizer } from './optimizer.js';
import { stateName, updatedName } from './state.js';

/** A parameter and its gradient, of the same shape. */
export interface ParameterGradient {
  readonly value: Value;
  readonly gradient: Value;
}

/**
 * Emits the optimizer's update of some parameters: their state and the optimizer's scalars become inputs of the graph,
 * the updated values its outputs (`stateName`, `updatedName`).
 * @param parameters with their gradients, clipped already.
 * @param when a scalar of bool: where it is false, everything keeps its value. Default: always.
 */
export function emitUpdates(parameters: readonly ParameterGradient[], optimizer: Optimizer, when?: Value): void {
  const kept = (next: Value, before: Value) => (when === undefined ? next : where(when, next, before));
  const graph = parameters[0]!.value.graph;
  const scalars = Object.fromEntries(optimizer.scalars.map((name) => [name, graph.input(name, 'float32', [])]));
  for (const { value, gradient } of parameters) {
    const state = Object.fromEntries(
      optimizer.slots.map((slot) => [slot, graph.input(stateName(slot, value.name), 'float32', value.shape)]),
    );
    const next = graph.scope('optimizer', () => optimizer.update(value, gradient, state, scalars));
    graph.output(updatedName(value.name), kept(next.parameter, value));
    for (const slot of optimizer.slots) {
      graph.output(updatedName(stateName(slot, value.name)), kept(next.state[slot]!, state[slot]!));
    }
  }
}
