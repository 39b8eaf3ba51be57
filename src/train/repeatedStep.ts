import { Graph } from '../onnx/graph.js';
import { scan } from '../onnx/ops/scan.js';
import type { LoggedGraph } from './loggedTerms.js';
import { stepNames } from './stepConfig.js';

/**
 * Several training steps in one run of the graph. Weights and optimizer state are copied to the device and back once per
 * run instead of once per step.
 *
 * The inputs are those of the step, with an axis in front for all that differs from step to step: views
 * [steps, B, S, S, 3], locations [steps, B, P, 2], learning_rate [steps]. State goes in and out as in a single step; the
 * logged scalars come out as [steps].
 * @param state names of weights, optimizer state and running statistics (see stateSpecs).
 */
export function repeatStep({ graph, logs }: LoggedGraph, state: readonly string[]): Graph {
  const outer = new Graph(graph.opset);
  const kept = new Set(state);
  const inputs = graph.inputs.map(({ name, dtype, shape }) => ({
    input: name,
    value: outer.input(name, dtype, kept.has(name) ? shape : ['steps', ...shape]),
  }));
  const outputs = scan(graph, {
    state: inputs
      .filter(({ input }) => kept.has(input))
      .map(({ input, value }) => ({ input, initial: value, output: stepNames.updated(input) })),
    slices: inputs.filter(({ input }) => !kept.has(input)).map(({ input, value }) => ({ input, stacked: value })),
    collected: logs,
  });
  const updated = inputs.filter(({ input }) => kept.has(input));
  updated.forEach(({ input }, i) => {
    outer.output(stepNames.updated(input), outputs.state[i]!);
  });
  logs.forEach((name, i) => {
    outer.output(name, outputs.collected[i]!);
  });
  return outer;
}
