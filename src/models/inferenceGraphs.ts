import {
  type BackboneConfig,
  backbone,
  backboneChannels,
  backboneStages,
  finalNorm,
  headNorm,
} from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { linearLayer } from '../nn/layers.js';
import { constantParameters } from '../nn/parameters.js';
import { normalisePixels } from '../nn/pixels.js';
import { EXPORT_OPSET, Graph, type Value } from '../onnx/graph.js';
import { reduceMean } from '../onnx/ops/reduce.js';
import type { Tensor, TensorType } from '../tensor/tensor.js';
import type { GraphKind } from './folder.js';
import type { Manifest } from './manifest.js';
import { stageOutputName } from './modelOutputs.js';

/**
 * The graphs of a model folder (manifest.ts is their contract). All dimensions except channels are dynamic. For weights in
 * a file only the types are passed (see constantParameters).
 */

/** The graphs of a model, the backbone always among them. */
export type ModelGraphs = { readonly [kind in GraphKind]?: Graph } & { readonly backbone: Graph };

type GraphWeights = ReadonlyMap<string, Tensor | TensorType>;

/**
 * uint8 `images` [B, H, W, 3] -> `representation` [B, C], `maps` [B, h, w, C]; normalisation is inside.
 * @param options.stages counted from 1, whose maps [B, h_s, w_s, C_s] are outputs too (`stage1`, ...), not normalised.
 * @param options.poolingOrder of a ConvNeXt's representation (see the manifest's schema).
 */
export function backboneGraph(
  config: BackboneConfig,
  weights: GraphWeights,
  {
    stages = [],
    poolingOrder = 'norm-mean',
  }: { readonly stages?: readonly number[]; readonly poolingOrder?: Manifest['poolingOrder'] } = {},
): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const images = graph.input('images', 'uint8', ['batch', 'height', 'width', 3]);
  const parameters = constantParameters(graph, weights);
  const lastStage = backboneStages(config).length;
  let pooled: Value | undefined;
  const maps = backbone(normalisePixels(images), config, parameters, {
    prefix: 'backbone.',
    onStage: (stage, map) => {
      if (poolingOrder === 'mean-norm' && stage === lastStage) pooled = reduceMean(map(), [1, 2]);
      if (!stages.includes(stage)) return;
      const value = map();
      graph.output(stageOutputName(stage), value, ['batch', `rows${stage}`, `columns${stage}`, value.shape[3]!]);
    },
  });
  const channels = backboneChannels(config);
  const representation =
    pooled === undefined ? reduceMean(maps, [1, 2]) : finalNorm(pooled, config, parameters, 'backbone.');
  graph.output('representation', representation, ['batch', channels]);
  graph.output('maps', maps, ['batch', 'rows', 'columns', channels]);
  return graph;
}

/** `maps` [B, h, w, C] -> `maps_embedding` [B, h, w, D']: the local projector on every cell. */
export function localProjectorGraph(config: BackboneConfig, widths: readonly number[], weights: GraphWeights): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const maps = graph.input('maps', 'float32', ['batch', 'rows', 'columns', backboneChannels(config)]);
  const embedded = mlp(maps, constantParameters(graph, weights), 'maps_projector', widths, headNorm(config));
  graph.output('maps_embedding', embedded);
  return graph;
}

/** `representation` [B, C] -> `embedding` [B, D]: the expander. */
export function expanderGraph(config: BackboneConfig, widths: readonly number[], weights: GraphWeights): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const representation = graph.input('representation', 'float32', ['batch', backboneChannels(config)]);
  const embedded = mlp(representation, constantParameters(graph, weights), 'projector', widths, headNorm(config));
  graph.output('embedding', embedded);
  return graph;
}

/** `representation` [B, C] -> `logits` [B, K]: a linear classifier. */
export function classifierGraph(config: BackboneConfig, classes: number, weights: GraphWeights): Graph {
  const graph = new Graph(EXPORT_OPSET);
  const representation = graph.input('representation', 'float32', ['batch', backboneChannels(config)]);
  graph.output('logits', linearLayer(representation, constantParameters(graph, weights), 'classifier', classes));
  return graph;
}
