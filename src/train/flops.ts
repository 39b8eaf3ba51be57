import { inputParameters } from '../nn/parameters.js';
import { Graph, type Node } from '../onnx/graph.js';
import { operators } from '../onnx/operators.js';
import { elementCount } from '../tensor/tensor.js';
import { forwardView, type ModelConfig } from './model.js';

const count = (shape: readonly (number | string)[]) => elementCount(shape as readonly number[]);

/** Multiply-adds of one node: every output element sums over the inputs that its weight covers. */
function multiplyAdds({ operator, inputs, outputs }: Node): number {
  const output = count(outputs[0]!.shape);
  const [left, right] = inputs;
  switch (operators[operator].multiplyAdds) {
    case 'filter':
      return output * count(right!.shape.slice(1));
    case 'row':
      return output * (left!.shape.at(-1) as number);
    case 'none':
      return 0;
  }
}

/**
 * Forward model FLOPs of one image over all its views: 2 x multiply-adds of convolutions and linear layers; norms,
 * activations and the loss are not counted. They are counted off the forward graph, in which a depthwise convolution
 * counts as such even where the training step multiplies instead (src/nn/depthwiseProduct.ts).
 */
export function modelFlops(config: ModelConfig, viewSizes: readonly number[]): number {
  return viewSizes.reduce((total, size) => {
    const graph = new Graph();
    const pixels = graph.input('pixels', 'float32', [1, size, size, 3]);
    forwardView(pixels, config, inputParameters(graph, { measuredForms: false }));
    return total + 2 * graph.nodes.reduce((sum, node) => sum + multiplyAdds(node), 0);
  }, 0);
}
