import { join } from 'node:path';
import { exportModel } from '../../src/models/exportModel.js';
import { backbone, backboneNamed } from '../../src/nn/backbone.js';
import { initialise, inputParameters } from '../../src/nn/parameters.js';
import { Graph } from '../../src/onnx/graph.js';
import type { Tensor } from '../../src/tensor/tensor.js';

/**
 * The model folder of a network to measure, with random weights.
 * @param scratch folder in which it is written
 */
export async function networkFolder(network: string, scratch: string): Promise<string> {
  const dir = join(scratch, network);
  await writeRandomNetwork(dir, network);
  return dir;
}

/**
 * Writes a model folder with the initial weights of an architecture. It is as fast as a trained model.
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
