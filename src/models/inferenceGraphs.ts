import { type BackboneConfig, backbone, backboneChannels, headNorm } from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { constantParameters } from '../nn/parameters.js';
import { normalisePixels } from '../nn/pixels.js';
import { EXPORT_OPSET, Graph } from '../onnx/graph.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import type { Tensor } from '../tensor/tensor.js';
import { stageOutputName } from './modelOutputs.js';

/** The graphs of a model folder (see manifest.ts for their contract). Every dimension but the channels is dynamic. */

/**
 * uint8 `images` [B, H, W, 3] -> `representation` [B, C], `maps` [B, h, w, C]; normalisation is inside.
 * @param options.stages counted from 1, whose maps [B, h_s, w_s, C_s] are outputs too (`stage1`, ...), not normalised.
 */
export function backboneGraph(
  config: BackboneConfig,
  weights: ReadonlyMap<string, Tensor>,
  { stages = [] }: { readonly stages?: readonly number[] } = {},
): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const images = graph.input('images', 'uint8', ['batch', 'height', 'width', 3]);
  const maps = backbone(normalisePixels(images), config, constantParameters(graph, weights), {
    prefix: 'backbone.',
    onStage: (stage, map) => {
      if (!stages.includes(stage)) return;
      const value = map();
      graph.output(stageOutputName(stage), value, ['batch', `rows${stage}`, `columns${stage}`, value.shape[3]!]);
    },
  });
  const channels = backboneChannels(config);
  graph.output('representation', reduceMean(maps, [1, 2]), ['batch', channels]);
  graph.output('maps', maps, ['batch', 'rows', 'columns', channels]);
  return graph;
}

/** `maps` [B, h, w, C] -> `maps_embedding` [B, h, w, D']: the local projector on every cell. */
export function localProjectorGraph(
  config: BackboneConfig,
  widths: readonly number[],
  weights: ReadonlyMap<string, Tensor>,
): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const maps = graph.input('maps', 'float32', ['batch', 'rows', 'columns', backboneChannels(config)]);
  const embedded = mlp(maps, constantParameters(graph, weights), 'maps_projector', widths, headNorm(config));
  graph.output('maps_embedding', embedded);
  return graph;
}

/** `representation` [B, C] -> `embedding` [B, D]: the expander. */
export function expanderGraph(
  config: BackboneConfig,
  widths: readonly number[],
  weights: ReadonlyMap<string, Tensor>,
): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const representation = graph.input('representation', 'float32', ['batch', backboneChannels(config)]);
  const embedded = mlp(representation, constantParameters(graph, weights), 'projector', widths, headNorm(config));
  graph.output('embedding', embedded);
  return graph;
}
