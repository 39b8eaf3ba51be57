import { gradients } from '../../src/onnx/gradients.js';
import { Graph, type Value } from '../../src/onnx/graph.js';
import type { Tensor } from '../../src/tensor/tensor.js';
import type { LossConfig, ViewOutputs } from '../../src/vicregl/loss.js';
import type { GoldenFile } from './goldenFile.js';

/** A graph with the inputs of a golden file's loss: embeddings, map embeddings and locations of each view, and their values. */
export function goldenViews(golden: GoldenFile) {
  const graph = new Graph();
  const feeds = new Map<string, Tensor>();
  const input = (key: string) => {
    const value = golden.tensor(key);
    feeds.set(key, value);
    return graph.input(key, value.dtype, value.shape);
  };
  const viewCount = golden.setting<number>('large_views') + golden.setting<number>('small_views');
  const views = Array.from({ length: viewCount }, (_, v) => ({
    embedding: input(`embedding.${v}`),
    mapsEmbedding: input(`maps_embedding.${v}`),
    locations: input(`locations.${v}`),
  }));
  return { graph, feeds, views };
}

/** The loss that a golden file was made with. */
export function goldenLossConfig(golden: GoldenFile): LossConfig {
  return {
    alpha: golden.setting('alpha'),
    numMatches: golden.setting('num_matches'),
    featureMatches: golden.setting<number>('l2_all_matches') === 1 ? 'all' : 'top',
    weights: {
      invariance: golden.setting('inv_coeff'),
      variance: golden.setting('var_coeff'),
      covariance: golden.setting('cov_coeff'),
    },
  };
}

/** Outputs a loss, and its gradients to the vectors of the views, under the names that golden files give them. */
export function outputLoss(graph: Graph, total: Value, views: readonly ViewOutputs[]): void {
  graph.output('loss', total);
  const inputs = views.flatMap(({ embedding, mapsEmbedding }) => [embedding!, mapsEmbedding!]);
  gradients(total, inputs).forEach((gradient, i) => {
    graph.output(inputs[i]!.name.replace(/embedding\./, 'embedding_grad.'), gradient);
  });
}
