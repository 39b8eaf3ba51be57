import { backboneStride } from '../../src/nn/backbone.js';
import { inputParameters } from '../../src/nn/parameters.js';
import { Graph } from '../../src/onnx/graph.js';
import { elementCount, type Tensor } from '../../src/tensor/tensor.js';
import type { ModelConfig } from '../../src/train/model.js';
import { forwardView } from '../../src/train/model.js';
import { floats, normals } from './graphs.js';

/** The smallest network with both heads. */
export const tinyModelConfig: Required<ModelConfig> = {
  backbone: { family: 'convnext', depths: [1, 1, 1, 1], widths: [8, 8, 16, 16] },
  expander: [24, 24, 20],
  localProjector: [16, 16, 12],
};

/** Weights far from the initial ones: residual branches are as large as their inputs, and no bias is zero. */
export function tinyWeights(config: ModelConfig): ReadonlyMap<string, Tensor> {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const stride = backboneStride(config.backbone);
  forwardView(graph.input('pixels', 'float32', [1, stride, stride, 3]), config, parameters);
  return new Map(
    [...parameters.specs, ...parameters.buffers].map(({ name, shape, initialiser }, i) => {
      const scale = shape.length > 1 ? 1 / Math.sqrt(elementCount(shape.slice(1))) : 0.2;
      const shift = initialiser.kind === 'ones' ? 1 : 0;
      return [
        name,
        floats(
          shape,
          normals(shape, i).map((value) => scale * value + shift),
        ),
      ];
    }),
  );
}
