import type { ParameterGradient } from './clip.js';
import type { Optimizer } from './optimizer.js';
import { stepNames } from './stepConfig.js';

/**
 * Emits the optimizer's update of some parameters: their state and the optimizer's scalars become inputs of the graph,
 * the updated values its outputs (`stepNames`).
 * @param parameters with their gradients, clipped already (clip.ts).
 */
export function emitUpdates(parameters: readonly ParameterGradient[], optimizer: Optimizer): void {
  const graph = parameters[0]!.value.graph;
  const scalars = Object.fromEntries(optimizer.scalars.map((name) => [name, graph.input(name, 'float32', [])]));
  for (const { value, gradient } of parameters) {
    const state = Object.fromEntries(
      optimizer.slots.map((slot) => [slot, graph.input(stepNames.state(slot, value.name), 'float32', value.shape)]),
    );
    const next = graph.scope('optimizer', () => optimizer.update(value, gradient, state, scalars));
    graph.output(stepNames.updated(value.name), next.parameter);
    for (const slot of optimizer.slots) {
      graph.output(stepNames.updated(stepNames.state(slot, value.name)), next.state[slot]!);
    }
  }
}
