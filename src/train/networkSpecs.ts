import { linearLayer } from '../nn/layers.js';
import { inputParameters, type ParameterSpec } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import { forwardView } from './model.js';
import type { StepConfig } from './stepConfig.js';

/** Parameters and buffers of a network. */
export interface NetworkSpecs {
  readonly parameters: readonly ParameterSpec[];
  /** Running statistics: part of the state, not trained. */
  readonly buffers: readonly ParameterSpec[];
}

/** Parameters and running statistics of backbone, heads and online classifier, in the order of the forward pass. */
export function networkSpecs({
  model,
  viewSizes,
  classes,
}: Pick<StepConfig, 'model' | 'viewSizes' | 'classes'>): NetworkSpecs {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const size = Math.min(...viewSizes);
  const { representation } = forwardView(graph.input('pixels', 'float32', [2, size, size, 3]), model, parameters);
  if (classes !== undefined) linearLayer(representation, parameters, 'classifier', classes);
  return { parameters: parameters.specs, buffers: parameters.buffers };
}
