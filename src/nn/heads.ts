import type { Value } from '../onnx/graph.js';
import { relu } from '../onnx/ops/elementwise.js';
import { batchNormLayer } from './batchNorm.js';
import { layerNormLayer, linearLayer } from './layers.js';
import type { Parameters } from './parameters.js';

const NORM_EPSILON = 1e-5;

/**
 * The heads' MLP "a-b-c" (paper, section 3): Linear, norm, ReLU, Linear, norm, ReLU, Linear without bias; any number of
 * widths. The norm is LayerNorm, or BatchNorm over all vectors of the batch (and all cells). Parameters are numbered as in a
 * PyTorch Sequential: `name.0`, `name.1`, `name.3`, ...
 *
 * On the representation [B, C] it is the expander (`projector`); on every cell [B, h, w, C] it is the local projector
 * (`maps_projector`).
 */
export function mlp(
  x: Value,
  parameters: Parameters,
  name: string,
  widths: readonly number[],
  norm: 'layer' | 'batch' = 'layer',
): Value {
  return x.graph.scope(name, () => {
    let y = x;
    widths.forEach((width, i) => {
      const layer = 3 * i;
      if (i === widths.length - 1) {
        y = linearLayer(y, parameters, `${name}.${layer}`, width, { bias: false });
        return;
      }
      y = linearLayer(y, parameters, `${name}.${layer}`, width);
      const normName = `${name}.${layer + 1}`;
      y = relu(
        norm === 'layer'
          ? layerNormLayer(y, parameters, normName, NORM_EPSILON)
          : batchNormLayer(y, parameters, normName, y.shape.length - 1),
      );
    });
    return y;
  });
}
