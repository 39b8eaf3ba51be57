import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import { type BackboneConfig, backboneChannels, backboneConfigs, stageSizes, withLayerScale } from '../nn/backbone.js';
import { formatShape, sameShape } from '../onnx/shapes.js';
import { elementCount, tensor } from '../tensor/tensor.js';
import { findBackbone, isNormFirst, type NamedBy } from './checkpointNames.js';
import { type Heads, inferBackbone, inferHead, LAYER_SCALE, nameOfBackbone, networkShapes } from './inferNetwork.js';
import type { Manifest } from './manifest.js';
import type { WeightSource } from './weightSource.js';

/** Networks of checkpoints: architecture and heads from names and shapes, weights under the authors' names. */

export interface ImportedNetwork {
  /** Name of the backbone; `convnext`, `resnet_basic` or `resnet_bottleneck` for one of other sizes. */
  readonly architecture: string;
  readonly backbone: BackboneConfig;
  readonly namedBy: NamedBy;
  readonly expander?: readonly number[];
  readonly localProjector?: readonly number[];
  /** Classes of the linear classifier. */
  readonly classes?: number;
  /** Whether the backbone comes with a classifier of its own, and no heads of VICRegL: a supervised network. */
  readonly supervised: boolean;
  /** Of a ConvNeXt, where its mean is taken before its normalisation. */
  readonly poolingOrder?: NonNullable<Manifest['poolingOrder']>;
  /** float32, named `backbone.`, `projector.`, `maps_projector.` and `classifier.`; read from the file when asked for. */
  readonly weights: WeightSource;
  /** Tensors of the file that belong to neither backbone nor heads. */
  readonly leftOut: readonly string[];
}

/** Counters of BatchNorm; a file may have them or not. */
const COUNTER = /num_batches_tracked$/;
/** Classifiers and what may stand beside a backbone at the top of a file. */
const OUTSIDE = /^(fc|head|classifier)\.|num_batches_tracked$/;

/** A tensor of the file under a name of ours. */
interface Found {
  readonly key: string;
  readonly shape: readonly number[];
}

/** Kernels of 1 x 1 convolutions are matrices, and timm's and torchvision's layer scale [C, 1, 1] a vector. */
function plainShape(name: string, shape: readonly number[]): readonly number[] {
  const rank = /\.pwconv[12]\.weight$/.test(name) ? 2 : /\.gamma$/.test(name) ? 1 : shape.length;
  return shape.slice(rank).every((size) => size === 1) ? shape.slice(0, rank) : shape;
}

/** Classes of a linear layer of the representation; undefined where the shapes are those of something else. */
function classesOf(shapeOf: (name: string) => readonly number[] | undefined, at: string, channels: number) {
  const [weight, bias] = [shapeOf(`${at}.weight`), shapeOf(`${at}.bias`)];
  const classes = weight?.[0];
  if (weight?.length !== 2 || weight[1] !== channels || bias?.length !== 1 || bias[0] !== classes) return undefined;
  return classes === 0 ? undefined : classes;
}

function chooseConfig(found: BackboneConfig, architecture: string | undefined): BackboneConfig {
  if (architecture === undefined) return found;
  const named = Object.hasOwn(backboneConfigs, architecture) ? backboneConfigs[architecture] : undefined;
  if (named === undefined) {
    throw new CheckpointFileError(
      `there is no architecture "${architecture}"; choose from ${Object.keys(backboneConfigs).join(', ')}`,
    );
  }
  return 'layerScale' in found && !('block' in named) ? withLayerScale(named, LAYER_SCALE) : named;
}

/**
 * Finds a network in an open checkpoint; no weight is read before it is asked for.
 * @param architecture name of a backbone whose sizes the file must have; inferred when absent.
 * @param fileBytes size of the file: weights that claim more elements than that share their bytes, and are refused.
 * @throws CheckpointFileError listing all that is missing, unexpected or of another shape.
 */
export function readNetwork(
  checkpoint: Checkpoint,
  { architecture, fileBytes }: { readonly architecture?: string | undefined; readonly fileBytes: number },
): ImportedNetwork {
  const { tensors } = checkpoint;
  const { naming, prefix } = findBackbone([...tensors.keys()]);
  // Heads stand beside the backbone where it has a name of its own.
  const root = prefix.endsWith('backbone.') ? prefix.slice(0, -'backbone.'.length) : undefined;
  const inside = new Map<string, Found>();
  for (const [key, { shape }] of tensors) {
    if (!key.startsWith(prefix)) continue;
    const name = naming.toOurs(key.slice(prefix.length));
    if (name !== undefined) inside.set(name, { key, shape: plainShape(name, shape) });
  }
  const shapeInside = (name: string) => inside.get(name)?.shape;
  const shapeBeside = (name: string) => (root === undefined ? undefined : tensors.get(`${root}${name}`)?.shape);

  const config = chooseConfig(inferBackbone(shapeInside), architecture);
  const sizes = stageSizes(config);
  // Every channel takes a byte at the least.
  if (
    ![...sizes.depths, ...sizes.widths].every((count) => Number.isInteger(count) && count > 0 && count <= fileBytes)
  ) {
    throw new CheckpointFileError(
      `its backbone has ${sizes.depths.join('-')} blocks of ${sizes.widths.join('-')} channels, which is no network of a file of ${fileBytes} bytes`,
    );
  }
  const channels = backboneChannels(config);
  const besideClasses = classesOf(shapeBeside, 'classifier', channels);
  // A hidden layer in front of timm's classifier is no part of the network here.
  const hidden = tensors.has(`${prefix}head.pre_logits.fc.weight`);
  const insideAt = (hidden ? [] : ['classifier', 'fc', 'head']).find(
    (at) => classesOf(shapeInside, at, channels) !== undefined,
  );
  const classifierAt = besideClasses === undefined && insideAt !== undefined ? insideAt : undefined;
  const heads: Heads = {
    projector: inferHead(shapeBeside, 'projector'),
    maps_projector: inferHead(shapeBeside, 'maps_projector'),
    classifier: classifierAt === undefined ? besideClasses : classesOf(shapeInside, classifierAt, channels),
  };
  const expected = networkShapes(config, heads);

  /** The tensor of the file for one of our names, or under which key it is missing. */
  const locate = (name: string): { readonly key: string; readonly shape?: readonly number[] } => {
    const classifier = classifierAt && /^classifier(\..*)$/.exec(name)?.[1];
    if (!name.startsWith('backbone.') && !classifier) {
      const key = `${root}${name}`;
      return { key, ...(tensors.has(key) && { shape: tensors.get(key)!.shape }) };
    }
    const own = classifier ? `${classifierAt}${classifier}` : name.slice('backbone.'.length);
    return inside.get(own) ?? { key: `${prefix}${naming.toTheirs(own) ?? own}` };
  };

  const problems: string[] = [];
  const keys = new Map<string, string>();
  let elements = 0;
  for (const [name, shape] of expected) {
    const { key, shape: stored } = locate(name);
    keys.set(name, key);
    if (stored === undefined) problems.push(`missing: ${key} ${formatShape(shape)}`);
    else if (!sameShape(stored, shape)) {
      problems.push(`of another shape: ${key} is ${formatShape(stored)}, expected ${formatShape(shape)}`);
    }
    elements += elementCount(shape);
  }
  const taken = new Set(keys.values());
  const others = [...tensors.keys()].filter((key) => !taken.has(key) && !COUNTER.test(key));
  const headNames = root === undefined ? [] : ['projector.', 'maps_projector.'].map((name) => `${root}${name}`);
  const isOurs = (key: string) => {
    if (headNames.some((head) => key.startsWith(head))) return true;
    if (!key.startsWith(prefix) || OUTSIDE.test(key.slice(prefix.length))) return false;
    return root !== undefined || naming.own.test(key.slice(prefix.length));
  };
  for (const key of others.filter(isOurs)) {
    problems.push(`unexpected: ${key} ${formatShape(tensors.get(key)!.shape)}`);
  }
  const name = nameOfBackbone(config);
  if (problems.length > 0) {
    throw new CheckpointFileError(`it does not fit ${architecture ?? name}:\n  ${problems.join('\n  ')}`);
  }
  if (elements > fileBytes) {
    throw new CheckpointFileError(
      `its weights claim ${elements} elements, more than a file of ${fileBytes} bytes can hold`,
    );
  }
  // Supervised ConvNeXts average first, those of the paper's own code too, whose names are the authors'.
  const averagesFirst =
    !('block' in config) &&
    (naming.by !== 'authors' || classifierAt !== undefined) &&
    !isNormFirst(keys.get('backbone.norm.weight')!);
  return {
    architecture: name,
    backbone: config,
    namedBy: naming.by,
    ...(heads.projector && { expander: heads.projector }),
    ...(heads.maps_projector && { localProjector: heads.maps_projector }),
    ...(heads.classifier !== undefined && { classes: heads.classifier }),
    supervised: classifierAt !== undefined && !heads.projector && !heads.maps_projector,
    ...(averagesFirst && { poolingOrder: 'mean-norm' }),
    weights: {
      shapes: expected,
      async read(wanted) {
        const { data } = await checkpoint.read(keys.get(wanted)!);
        return tensor('float32', expected.get(wanted)!, data);
      },
    },
    leftOut: others,
  };
}
