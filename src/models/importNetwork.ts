import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import {
  type BackboneConfig,
  backbone,
  backboneConfigs,
  backboneStride,
  headNorm,
  stageSizes,
  withLayerScale,
} from '../nn/backbone.js';
import { mlp } from '../nn/heads.js';
import { inputParameters } from '../nn/parameters.js';
import { Graph } from '../onnx/graph.js';
import { formatShape, sameShape } from '../onnx/shapes.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';

/** Networks of checkpoints: architecture and heads from names and shapes, weights under the authors' names. */

export interface ImportedNetwork {
  /** Name of the backbone; `convnext` or `resnet` for one of other sizes. */
  readonly architecture: string;
  readonly backbone: BackboneConfig;
  readonly expander?: readonly number[];
  readonly localProjector?: readonly number[];
  /** float32, named `backbone.`, `projector.` and `maps_projector.`. */
  readonly weights: ReadonlyMap<string, Tensor<'float32'>>;
  /** Tensors of the file that belong to neither backbone nor heads. */
  readonly leftOut: readonly string[];
}

/** A first key of each family, by which the backbone's prefix is found. */
const FIRST_KEY = /^(.*?)(?:downsample_layers\.0\.0\.weight|layer1\.0\.conv1\.weight)$/;
/** Where the backbone stands in usual files, the likeliest first. */
const PREFIXES = ['module.backbone.', 'backbone.', 'module.', ''];
/** The initial value is not in a file; only its being there matters to a trained network. */
const LAYER_SCALE = 1e-6;
/** Classifiers of supervised networks, and counters of BatchNorm. */
const OUTSIDE = /^(fc|head|classifier)\.|num_batches_tracked$/;

function findPrefix(names: readonly string[]): string {
  const found = new Set(names.flatMap((name) => FIRST_KEY.exec(name)?.[1] ?? []));
  const usual = PREFIXES.find((prefix) => found.has(prefix));
  if (usual !== undefined) return usual;
  if (found.size === 1) return [...found][0]!;
  if (found.size > 1) {
    throw new CheckpointFileError(`it holds more than one backbone, under ${[...found].join(', ')}; save one alone`);
  }
  if (names.some((name) => /(^|\.)(stem\.0|features\.0\.0)\.weight$/.test(name))) {
    throw new CheckpointFileError(
      "it holds a ConvNeXt under timm's or torchvision's names, which average the map before they normalise it; only " +
        "the authors' names are read",
    );
  }
  const first = names.slice(0, 8).join(', ');
  throw new CheckpointFileError(
    `it holds neither a ResNet nor a ConvNeXt under the authors' names; it has ${first}, ...`,
  );
}

/** Blocks of a stage: how many numbers from 0 on have the key. */
function countBlocks(has: (name: string) => boolean, key: (index: number) => string): number {
  let count = 0;
  while (has(key(count))) count++;
  return count;
}

function inferBackbone(shapeOf: (name: string) => readonly number[] | undefined): BackboneConfig {
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
    width: shapeOf('conv1.weight')?.[0] ?? shapeOf('layer1.0.conv1.weight')![0] ?? 0,
  };
}

/** The name of a backbone of these sizes. */
function nameOf(config: BackboneConfig): string {
  const form = (of: BackboneConfig) => JSON.stringify([stageSizes(of), 'block' in of ? of.block : '']);
  const named = Object.entries(backboneConfigs).find(([, other]) => form(other) === form(config));
  return named?.[0] ?? ('block' in config ? 'resnet' : 'convnext');
}

function headWidths(shapeOf: (name: string) => readonly number[] | undefined, name: string): number[] | undefined {
  const widths: number[] = [];
  for (let layer = 0; ; layer += 3) {
    const width = shapeOf(`${name}.${layer}.weight`)?.[0];
    if (width === undefined) return widths.length === 0 ? undefined : widths;
    widths.push(width);
  }
}

/** Shapes of every parameter and buffer of a network, by name. */
function networkShapes(
  config: BackboneConfig,
  heads: Readonly<Record<'projector' | 'maps_projector', readonly number[] | undefined>>,
): ReadonlyMap<string, readonly number[]> {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const size = 2 * backboneStride(config);
  const pixels = graph.input('pixels', 'float32', [2, size, size, 3]);
  const maps = backbone(pixels, config, parameters, { prefix: 'backbone.' });
  for (const [name, widths] of Object.entries(heads)) if (widths) mlp(maps, parameters, name, widths, headNorm(config));
  return new Map([...parameters.specs, ...parameters.buffers].map(({ name, shape }) => [name, shape]));
}

/**
 * Reads a network from an open checkpoint, tensor by tensor.
 * @param architecture name of a backbone whose sizes the file must have; inferred when absent.
 * @param fileBytes size of the file: weights that claim more elements than that share their bytes, and are refused.
 * @throws CheckpointFileError listing all that is missing, unexpected or of another shape.
 */
export async function readNetwork(
  checkpoint: Checkpoint,
  { architecture, fileBytes }: { readonly architecture?: string | undefined; readonly fileBytes: number },
): Promise<ImportedNetwork> {
  const { tensors } = checkpoint;
  const prefix = findPrefix([...tensors.keys()]);
  const root = prefix.endsWith('backbone.') ? prefix.slice(0, -'backbone.'.length) : undefined;
  const shapeOf = (name: string) => tensors.get(`${prefix}${name}`)?.shape;
  const found = inferBackbone(shapeOf);
  let config = found;
  if (architecture !== undefined) {
    const named = Object.hasOwn(backboneConfigs, architecture) ? backboneConfigs[architecture] : undefined;
    if (named === undefined) {
      throw new CheckpointFileError(
        `there is no architecture "${architecture}"; choose from ${Object.keys(backboneConfigs).join(', ')}`,
      );
    }
    config = 'layerScale' in found && !('block' in named) ? withLayerScale(named, LAYER_SCALE) : named;
  }
  const sizes = stageSizes(config);
  if (![...sizes.depths, ...sizes.widths].every((count) => Number.isInteger(count) && count > 0)) {
    throw new CheckpointFileError(
      `its backbone has ${sizes.depths.join('-')} blocks of ${sizes.widths.join('-')} channels, which is no network`,
    );
  }
  const headShape = (name: string) => (root === undefined ? undefined : tensors.get(`${root}${name}`)?.shape);
  const heads = {
    projector: headWidths(headShape, 'projector'),
    maps_projector: headWidths(headShape, 'maps_projector'),
  };
  const expected = networkShapes(config, heads);
  const keyOf = (name: string) => (name.startsWith('backbone.') ? prefix + name.slice(9) : `${root}${name}`);

  const problems: string[] = [];
  let elements = 0;
  for (const [name, shape] of expected) {
    const key = keyOf(name);
    const stored = tensors.get(key);
    if (stored === undefined) problems.push(`missing: ${key} ${formatShape(shape)}`);
    else if (!sameShape(stored.shape, shape)) {
      problems.push(`of another shape: ${key} is ${formatShape(stored.shape)}, expected ${formatShape(shape)}`);
    }
    elements += elementCount(shape);
  }
  const taken = new Set([...expected.keys()].map(keyOf));
  const headNames = root === undefined ? [] : ['projector.', 'maps_projector.'].map((name) => `${root}${name}`);
  const others = [...tensors.keys()].filter((key) => !taken.has(key));
  const isOurs = (key: string) =>
    (prefix !== '' && key.startsWith(prefix) && !OUTSIDE.test(key.slice(prefix.length)) && root !== undefined) ||
    headNames.some((head) => key.startsWith(head) && !OUTSIDE.test(key)) ||
    (root === undefined &&
      /^(stages|downsample_layers|layer\d)\./.test(key.slice(prefix.length)) &&
      !OUTSIDE.test(key));
  for (const key of others.filter(isOurs)) {
    problems.push(`unexpected: ${key} ${formatShape(tensors.get(key)!.shape)}`);
  }
  const name = nameOf(config);
  if (problems.length > 0) {
    throw new CheckpointFileError(`it does not fit ${architecture ?? name}:\n  ${problems.join('\n  ')}`);
  }
  if (elements > fileBytes) {
    throw new CheckpointFileError(
      `its weights claim ${elements} elements, more than a file of ${fileBytes} bytes can hold`,
    );
  }
  const weights = new Map<string, Tensor<'float32'>>();
  for (const parameter of expected.keys()) weights.set(parameter, await checkpoint.read(keyOf(parameter)));
  return {
    architecture: name,
    backbone: config,
    ...(heads.projector && { expander: heads.projector }),
    ...(heads.maps_projector && { localProjector: heads.maps_projector }),
    weights,
    leftOut: others.filter((key) => !key.endsWith('num_batches_tracked')),
  };
}
