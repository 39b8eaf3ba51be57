import { type BackboneConfig, backbone } from '../../nn/backbone.js';
import { inputParameters, type Parameters } from '../../nn/parameters.js';
import { normalisePixels } from '../../nn/pixels.js';
import type { Graph, Value } from '../../onnx/graph.js';
import { reduceMean } from '../../onnx/ops/reduce.js';
import type { Tensor } from '../../tensor/tensor.js';

/** The network with its present weights, for evaluation. */
export interface Representation {
  /** [B, C]. */
  readonly value: Value;
  /** The backbone's parameters and running statistics, which are inputs of the graph. */
  readonly network: Parameters;
}

/**
 * Emits the representation of `images`, uint8 [batch, size, size, 3], in evaluation mode: running statistics, no drop
 * path. Weights are inputs under their names in the run's state, so that one session serves a whole run.
 */
export function emitRepresentation(graph: Graph, config: BackboneConfig, batch: number, size: number): Representation {
  const images = graph.input('images', 'uint8', [batch, size, size, 3]);
  const network = inputParameters(graph, { training: false });
  const map = backbone(normalisePixels(images), config, network, { prefix: 'backbone.' });
  return { value: reduceMean(map, [1, 2]), network };
}

/** The state's tensors that a network takes as inputs. */
export function networkFeeds({ specs, buffers }: Parameters, state: ReadonlyMap<string, Tensor>): Map<string, Tensor> {
  return new Map([...specs, ...buffers].map(({ name }) => [name, state.get(name)!]));
}
