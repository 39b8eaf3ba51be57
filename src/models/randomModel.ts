import { convNext } from '../nn/convnext.js';
import { mlp } from '../nn/heads.js';
import { initialise, inputParameters } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import type { Tensor } from '../tensor/tensor.js';
import { exportModel } from './exportModel.js';
import type { Manifest } from './manifest.js';

/**
 * Writes a model folder of the same network as another model's, with initial weights as training starts from: the
 * baseline of every evaluation. The heads have the widths of the model's own, taken from its dimensions.
 */
export async function writeRandomModel(
  dir: string,
  like: Manifest,
  headWidths: readonly number[],
  seed: number,
): Promise<Manifest> {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const backbone = { depths: like.depths, widths: like.widths };
  const maps = convNext(graph.input('pixels', 'float32', [1, like.stride, like.stride, 3]), backbone, parameters, {
    prefix: 'backbone.',
  });
  mlp(maps, parameters, 'maps_projector', headWidths);
  const weights = new Map<string, Tensor>(parameters.specs.map((spec) => [spec.name, initialise(spec, seed)]));
  return exportModel(
    dir,
    {
      name: `${like.name}-random`,
      version: '0',
      architecture: like.architecture,
      backbone,
      localProjector: headWidths,
      alpha: like.alpha,
      weights,
      license: 'Apache-2.0',
      training: { note: `initial weights of seed ${seed}, untrained` },
    },
    { precision: like.precision },
  );
}
