import { backbone, headNorm } from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { initialise, inputParameters } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import type { Tensor } from '../tensor/tensor.js';
import { backboneOfManifest } from './architecture.js';
import { exportModel } from './exportModel.js';
import type { Manifest } from './manifest.js';

/**
 * Writes a model folder of another model's network with the initial weights of training: the baseline of every
 * evaluation. It has a local projector of the same widths if the model has one.
 * @throws ModelFolderError for a manifest of an unknown architecture.
 */
export async function writeRandomModel(dir: string, like: Manifest, seed: number): Promise<Manifest> {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const headWidths = like.heads.localProjector;
  const config = backboneOfManifest(like);
  const size = 2 * like.stride;
  const maps = backbone(graph.input('pixels', 'float32', [2, size, size, 3]), config, parameters, {
    prefix: 'backbone.',
  });
  if (headWidths !== undefined) mlp(maps, parameters, 'maps_projector', headWidths, headNorm(config));
  const weights = new Map<string, Tensor>(
    [...parameters.specs, ...parameters.buffers].map((spec) => [spec.name, initialise(spec, seed)]),
  );
  return exportModel(
    dir,
    {
      name: `${like.name}-random`,
      version: '0',
      architecture: like.architecture,
      backbone: config,
      ...(headWidths && { localProjector: headWidths }),
      alpha: like.alpha ?? undefined,
      weights,
      license: 'Apache-2.0',
      training: { note: `initial weights of seed ${seed}, untrained` },
    },
    { precision: like.precision === 'float16' ? 'float16' : 'float32', check: false },
  );
}
