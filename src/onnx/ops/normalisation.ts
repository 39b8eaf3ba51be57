import type { Value } from '../graph.js';
import { formatShape, GraphError, sameShape } from '../shapes.js';

/**
 * Layer normalisation over the last axis (Ba et al., arXiv 1607.06450), biased variance:
 * x [..., C], scale [C], bias [C] -> [..., C].
 */
export function layerNorm(x: Value, scale: Value, bias: Value, epsilon: number): Value {
  const channels = x.shape.at(-1);
  if (channels === undefined || !sameShape(scale.shape, [channels]) || !sameShape(bias.shape, [channels])) {
    throw new GraphError(
      `LayerNormalization: input ${formatShape(x.shape)} does not fit scale ${formatShape(scale.shape)} and bias ${formatShape(bias.shape)}`,
    );
  }
  const statistics = { dtype: x.dtype, shape: [...x.shape.slice(0, -1), 1] };
  // Mean and inverse standard deviation are outputs of the operator; the gradient reads them.
  const outputs = x.graph.emit(
    'LayerNormalization',
    [x, scale, bias],
    [{ dtype: x.dtype, shape: x.shape }, statistics, statistics],
    { axis: -1, epsilon: { float: epsilon } },
  );
  return outputs[0] as Value;
}
