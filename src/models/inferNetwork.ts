import { type BackboneConfig, backbone, headNorm } from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { linearLayer } from '../nn/layers.js';
import type { ShapeOf } from '../nn/parameterNames.js';
import { inputParameters } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import { reduceMean } from '../onnx/ops/reduce.js';

/** Heads from the names and shapes of their weights, and the names and shapes of a network's weights. */

/** Widths of a head; undefined if there is none. */
export function inferHead(shapeOf: ShapeOf, name: string): number[] | undefined {
  const widths: number[] = [];
  for (let layer = 0; ; layer += 3) {
    const width = shapeOf(`${name}.${layer}.weight`)?.[0];
    if (width === undefined) return widths.length === 0 ? undefined : widths;
    widths.push(width);
  }
}

/** The heads of a network. */
export interface Heads {
  readonly projector?: readonly number[] | undefined;
  readonly maps_projector?: readonly number[] | undefined;
  /** Classes. */
  readonly classifier?: number | undefined;
}

/** Shapes of every parameter and buffer of a network, by name (`backbone.`, `projector.`, `maps_projector.`, `classifier.`). */
export function networkShapes(config: BackboneConfig, heads: Heads): ReadonlyMap<string, readonly number[]> {
  const graph = new Graph();
  // Dynamic shapes, as in exports: static ones would make constants as large as the sizes that the file claims.
  const parameters = inputParameters(graph, { training: false });
  const pixels = graph.input('pixels', 'float32', ['batch', 'height', 'width', 3]);
  const maps = backbone(pixels, config, parameters, { prefix: 'backbone.' });
  for (const name of ['projector', 'maps_projector'] as const) {
    const widths = heads[name];
    if (widths !== undefined) mlp(maps, parameters, name, widths, headNorm(config));
  }
  if (heads.classifier !== undefined) linearLayer(reduceMean(maps, [1, 2]), parameters, 'classifier', heads.classifier);
  return new Map([...parameters.specs, ...parameters.buffers].map(({ name, shape }) => [name, shape]));
}
