import {
  type BackboneConfig,
  backbone,
  backboneConfigs,
  headNorm,
  stageSizes,
  withLayerScale,
} from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { linearLayer } from '../nn/layers.js';
import { inputParameters } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import { reduceMean } from '../onnx/ops/reduce.js';

/** Networks from the names and shapes of their weights, and back. */

/** The shape of a weight by its name under the authors' names, without prefix; undefined where there is none. */
export type ShapeOf = (name: string) => readonly number[] | undefined;

/** The initial value is not in a file; only its being there matters to a trained network. */
export const LAYER_SCALE = 1e-6;

/** Blocks of a stage: how many numbers from 0 on have the key. */
function countBlocks(has: (name: string) => boolean, key: (index: number) => string): number {
  let count = 0;
  while (has(key(count))) count++;
  return count;
}

/** The backbone whose weights have these names and shapes; sizes may be 0 where they contradict each other. */
export function inferBackbone(shapeOf: ShapeOf): BackboneConfig {
  const has = (name: string) => shapeOf(name) !== undefined;
  if (has('downsample_layers.0.0.weight')) {
    const stages = countBlocks(has, (stage) => `downsample_layers.${stage}.${stage === 0 ? 0 : 1}.weight`);
    const numbers = Array.from({ length: stages }, (_, stage) => stage);
    const config = {
      depths: numbers.map((stage) => countBlocks(has, (index) => `stages.${stage}.${index}.dwconv.weight`)),
      widths: numbers.map((stage) => shapeOf(`downsample_layers.${stage}.${stage === 0 ? 0 : 1}.weight`)![0] ?? 0),
    };
    return has('stages.0.0.gamma') ? withLayerScale(config, LAYER_SCALE) : config;
  }
  const stages = countBlocks(has, (stage) => `layer${stage + 1}.0.conv1.weight`);
  return {
    block: has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic',
    layers: Array.from({ length: stages }, (_, stage) =>
      countBlocks(has, (index) => `layer${stage + 1}.${index}.conv1.weight`),
    ),
    width: shapeOf('conv1.weight')?.[0] ?? shapeOf('layer1.0.conv1.weight')?.[0] ?? 0,
  };
}

/** The name of a backbone of these sizes; `convnext`, `resnet_basic` or `resnet_bottleneck` for one of other sizes. */
export function nameOfBackbone(config: BackboneConfig): string {
  const form = (of: BackboneConfig) => JSON.stringify([stageSizes(of), 'block' in of ? of.block : '']);
  const named = Object.entries(backboneConfigs).find(([, other]) => form(other) === form(config));
  return named?.[0] ?? ('block' in config ? `resnet_${config.block}` : 'convnext');
}

/** Widths of a head; undefined where there is none. */
export function inferHead(shapeOf: ShapeOf, name: string): number[] | undefined {
  const widths: number[] = [];
  for (let layer = 0; ; layer += 3) {
    const width = shapeOf(`${name}.${layer}.weight`)?.[0];
    if (width === undefined) return widths.length === 0 ? undefined : widths;
    widths.push(width);
  }
}

/** What stands on a backbone. */
export interface Heads {
  readonly projector?: readonly number[] | undefined;
  readonly maps_projector?: readonly number[] | undefined;
  /** Classes. */
  readonly classifier?: number | undefined;
}

/** Shapes of every parameter and buffer of a network, by name (`backbone.`, `projector.`, `maps_projector.`, `classifier.`). */
export function networkShapes(config: BackboneConfig, heads: Heads): ReadonlyMap<string, readonly number[]> {
  const graph = new Graph();
  // As exported, with dynamic sizes: the forms of training would make constants as large as the sizes that a file claims.
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
