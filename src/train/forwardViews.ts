import { type BackboneConfig, headNorm } from '../nn/backbone.js';
import type { Parameters } from '../nn/parameters.js';
import { normalisePixels } from '../nn/pixels.js';
import type { Value } from '../onnx/graph.js';
import { concat, slice } from '../onnx/ops/shape.js';
import { dropPathInput } from './dropPath.js';
import { forwardView, type ViewForward } from './model.js';
import { productTypeOf } from './precision.js';
import { type StepConfig, stepNames } from './stepConfig.js';

/**
 * Views that pass through the networks as one batch. With LayerNorm, whose result does not depend on the rest of the
 * batch, views of one size do: products have twice the rows, and each weight has one gradient to add. BatchNorm has its own
 * statistics for every view, so each view passes alone.
 */
function viewGroups(backbone: BackboneConfig, viewSizes: readonly number[]): number[][] {
  const views = viewSizes.map((_, v) => v);
  if (headNorm(backbone) === 'batch') return views.map((v) => [v]);
  return [...new Set(viewSizes)].map((size) => views.filter((v) => viewSizes[v] === size));
}

/** Images `index * batch` to `(index + 1) * batch` of the outputs of a group of views. */
function ofView(group: ViewForward, index: number, batch: number): ViewForward {
  const own = (x: Value) => slice(x, [{ axis: 0, start: index * batch, end: (index + 1) * batch }]);
  const { maps, representation, embedding, mapsEmbedding } = group;
  return {
    maps: own(maps),
    representation: own(representation),
    ...(embedding && { embedding: own(embedding) }),
    ...(mapsEmbedding && { mapsEmbedding: own(mapsEmbedding) }),
  };
}

/** Declares the pixels and drop-path scales of all views as inputs and emits their forward passes, in view order. */
export function forwardViews(config: StepConfig, parameters: Parameters): ViewForward[] {
  const { model, batchSize, viewSizes } = config;
  const { graph } = parameters;
  const pixels = viewSizes.map((size, v) => {
    const input = graph.input(stepNames.view(v), config.pixels, [batchSize, size, size, 3]);
    return config.pixels === 'uint8' ? normalisePixels(input) : input;
  });
  const outputs: ViewForward[] = [];
  for (const group of viewGroups(model.backbone, viewSizes)) {
    const dropPath = config.dropPath
      ? dropPathInput(graph, group.map(stepNames.dropPath), batchSize, model.backbone)
      : undefined;
    const together = concat(
      group.map((v) => pixels[v]!),
      0,
    );
    const forward = graph.productsIn(productTypeOf(config), () =>
      graph.scope(`view${group.join('+')}`, () => forwardView(together, model, parameters, dropPath)),
    );
    group.forEach((v, i) => {
      outputs[v] = group.length === 1 ? forward : ofView(forward, i, batchSize);
    });
  }
  return outputs;
}
