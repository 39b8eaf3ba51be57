import { join } from 'node:path';
import { bundledModelFolder } from '../../src/cli/defaults.js';
import { exportModel } from '../../src/models/exportModel.js';
import { backbone, backboneNamed } from '../../src/nn/backbone.js';
import { initialise, inputParameters } from '../../src/nn/parameters.js';
import { Graph } from '../../src/onnx/graph.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/** The architecture of the bundled model. */
const bundledNetwork = 'convnext_atto';

/**
 * The folder of a network to measure: that of the bundled model, or random weights of another architecture.
 * @param scratch where those are written
 */
export async function networkFolder(network: string, scratch: string): Promise<string> {
  if (network === bundledNetwork) return bundledModelFolder;
  const dir = join(scratch, network);
  await writeRandomNetwork(dir, network);
  return dir;
}

/**
 * Writes the model folder of a network with the weights that training starts from: as fast as a trained one.
 * @param architecture such as resnet50
 * @returns the weights
 */
export async function writeRandomNetwork(dir: string, architecture: string): Promise<ReadonlyMap<string, Tensor>> {
  const config = backboneNamed(architecture);
  const graph = new Graph();
  const parameters = inputParameters(graph);
  backbone(graph.input('pixels', 'float32', [2, 64, 64, 3]), config, parameters, { prefix: 'backbone.' });
  const weights = new Map<string, Tensor>(
    [...parameters.specs, ...parameters.buffers].map((spec) => [spec.name, initialise(spec, 7)]),
  );
  const source = {
    name: architecture,
    version: 'random',
    architecture,
    backbone: config,
    alpha: 0.75,
    weights,
    license: 'Apache-2.0',
    training: { note: 'initial weights of seed 7, untrained' },
  };
  await exportModel(dir, source, { precision: 'float32', check: false });
  return weights;
}
