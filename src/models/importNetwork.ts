import type { Checkpoint } from '../checkpoint/checkpoint.js';
import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import {
  architectureOf,
  type BackboneConfig,
  backboneChannels,
  backboneConfigs,
  layerScaleOf,
  stageSizes,
  withLayerScale,
} from '../nn/backbone.js';
import type { NamedBy } from '../nn/parameterNames.js';
import { formatShape, sameShape } from '../onnx/shapes.js';
import { elementCount, tensor } from '../tensor/tensor.js';
import { findBackbone } from './checkpointNames.js';
import { type Heads, inferHead, networkShapes } from './inferNetwork.js';
import type { Manifest } from './manifest.js';
import type { WeightSource } from './weightSource.js';

/** Reads networks from checkpoints: architecture and heads by names and shapes, weights under the authors' names. */

export interface ImportedNetwork {
  /** Architecture name of the backbone (architectureOf). */
  readonly architecture: string;
  readonly backbone: BackboneConfig;
  readonly namedBy: NamedBy;
  /** Prefix of its names in the file; empty if they have none. */
  readonly prefix: string;
  readonly expander?: readonly number[];
  readonly localProjector?: readonly number[];
  /** Classes of the linear classifier. */
  readonly classes?: number;
  /** Present for a network that normalises the mean of its map. */
  readonly poolingOrder?: NonNullable<Manifest['poolingOrder']>;
  /** float32, named `backbone.`, `projector.`, `maps_projector.` and `classifier.`; each is read from the file on demand. */
  readonly weights: WeightSource;
  /** What else the file holds, in the order of the file. */
  readonly leftOut: readonly LeftOut[];
}

/** Tensors of a file that are not imported: a head of another form, another encoder, the state of an optimizer. */
export interface LeftOut {
  /** Common beginning of their names, such as `projector` or `module.encoder_k`. */
  readonly name: string;
  readonly tensors: number;
  /** Why a head under one of our names is not imported. */
  readonly reason?: string;
}

/** PyTorch's BatchNorm counters, which are ignored. */
const COUNTER = /num_batches_tracked$/;
/** Names among a backbone's tensors that do not change what it computes: heads, queues, counters. */
const OUTSIDE =
  /^(fc|heads?|classifier|(maps_)?projector|projections?|(proj|projection|pred|prediction|mlp)_?head|predictor|prototypes)\.|^queue(_ptr)?$|num_batches_tracked$/;

const HEADS = ['projector', 'maps_projector'] as const;

/** Most differences that a reason lists; it counts the rest. */
const MAX_NAMED = 3;

/** A tensor of the file that has one of our names after translation. */
interface Found {
  readonly key: string;
  readonly shape: readonly number[];
}

/** Classes of a linear classifier of the representation; undefined if the shapes are not those of one. */
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
  const layerScale = layerScaleOf(found);
  return layerScale !== undefined && named.family === found.family ? withLayerScale(named, layerScale) : named;
}

export interface ReadNetworkOptions {
  /** Architecture name whose sizes the file must have. Absent: inferred. */
  readonly architecture?: string | undefined;
  /** Selects one of several backbones in the file: the prefix of its names. */
  readonly prefix?: string | undefined;
  /** The flag that sets the prefix, for error messages. */
  readonly prefixFlag?: string;
  /** Whether the expander (`projector`) is imported if it has VICRegL's form; if not, it is not checked either. Default true. */
  readonly expander?: boolean;
  /**
   * Whether a backbone is accepted whose weights are partly missing, unexpected or of another shape (shapes are then the
   * file's): a training run starts from what fits. Default false.
   */
  readonly incomplete?: boolean;
  /** Size of the file. Weights that claim more elements than it has bytes are refused. */
  readonly fileBytes: number;
}

/**
 * Finds a network in an open checkpoint. Only names and shapes are read; weights follow on demand. Heads of another form
 * than VICRegL's (a last layer with bias, other norms) are left out.
 * @throws CheckpointFileError listing every tensor of the backbone that is missing, unexpected or of another shape.
 */
export function readNetwork(
  checkpoint: Checkpoint,
  { architecture, prefix: wanted, prefixFlag, expander = true, incomplete = false, fileBytes }: ReadNetworkOptions,
): ImportedNetwork {
  const { tensors } = checkpoint;
  const { naming, prefix, oneOfSeveral } = findBackbone([...tensors.keys()], wanted, prefixFlag);
  const { checkpoints } = naming.family;
  // If the backbone has a prefix of its own, the heads have theirs.
  const root = prefix.endsWith('backbone.') ? prefix.slice(0, -'backbone.'.length) : undefined;
  const inside = new Map<string, Found>();
  for (const [key, { shape }] of tensors) {
    if (!key.startsWith(prefix)) continue;
    const name = naming.toOurs(key.slice(prefix.length));
    if (name === undefined) continue;
    inside.set(name, { key, shape: checkpoints.plainShape?.(name, shape) ?? shape });
  }
  const shapeInside = (name: string) => inside.get(name)?.shape;
  const shapeBeside = (name: string) => (root === undefined ? undefined : tensors.get(`${root}${name}`)?.shape);

  const config = chooseConfig(checkpoints.infer(shapeInside), architecture);
  const sizes = stageSizes(config);
  // Every channel takes at least one byte of the file.
  if (
    ![...sizes.depths, ...sizes.widths].every((count) => Number.isInteger(count) && count > 0 && count <= fileBytes)
  ) {
    throw new CheckpointFileError(
      `its backbone has ${sizes.depths.join('-')} blocks of ${sizes.widths.join('-')} channels, which is no network of a file of ${fileBytes} bytes`,
    );
  }
  const channels = backboneChannels(config);
  const besideClasses = classesOf(shapeBeside, 'classifier', channels);
  // A classifier after a hidden layer (timm's pre_logits) does not classify the representation, and a linear layer of one
  // of several encoders (MoCo's fc) is a projection.
  const noClassifier = oneOfSeveral || tensors.has(`${prefix}head.pre_logits.fc.weight`);
  const insideAt = (noClassifier ? [] : ['classifier', 'fc', 'head']).find(
    (at) => classesOf(shapeInside, at, channels) !== undefined,
  );
  const classifierAt = besideClasses === undefined && insideAt !== undefined ? insideAt : undefined;
  const inferred: Heads = {
    projector: expander ? inferHead(shapeBeside, 'projector') : undefined,
    maps_projector: inferHead(shapeBeside, 'maps_projector'),
    classifier: classifierAt === undefined ? besideClasses : classesOf(shapeInside, classifierAt, channels),
  };
  const shapes = networkShapes(config, inferred);

  /** Key in the file for one of our names, with the shape if it is there. */
  const locate = (name: string): { readonly key: string; readonly shape?: readonly number[] } => {
    const classifier = classifierAt && /^classifier(\..*)$/.exec(name)?.[1];
    if (!name.startsWith('backbone.') && !classifier) {
      const key = `${root}${name}`;
      return { key, ...(tensors.has(key) && { shape: tensors.get(key)!.shape }) };
    }
    const own = classifier ? `${classifierAt}${classifier}` : name.slice('backbone.'.length);
    return inside.get(own) ?? { key: `${prefix}${naming.toTheirs(own) ?? own}` };
  };
  const problemOf = (name: string, shape: readonly number[]): string | undefined => {
    const { key, shape: stored } = locate(name);
    if (stored === undefined) return `missing: ${key} ${formatShape(shape)}`;
    if (sameShape(stored, shape)) return undefined;
    return `of another shape: ${key} is ${formatShape(stored)}, expected ${formatShape(shape)}`;
  };
  const unexpected = (key: string) => `unexpected: ${key} ${formatShape(tensors.get(key)!.shape)}`;

  // Each head is imported whole, or left out with the reason.
  const reasons = new Map<string, string>();
  for (const head of HEADS) {
    const own = [...shapes].filter(([name]) => name.startsWith(`${head}.`));
    const keys = [...tensors.keys()].filter((key) => root !== undefined && key.startsWith(`${root}${head}.`));
    if (keys.length === 0) continue;
    if (head === 'projector' && !expander) {
      reasons.set(`${root}${head}`, 'not asked for');
      continue;
    }
    const taken = new Set(own.map(([name]) => locate(name).key));
    const problems = [
      ...own.flatMap(([name, shape]) => problemOf(name, shape) ?? []),
      ...keys.filter((key) => !taken.has(key) && !COUNTER.test(key)).map(unexpected),
    ];
    if (problems.length === 0) continue;
    const more = problems.length > MAX_NAMED ? ` and ${problems.length - MAX_NAMED} more` : '';
    reasons.set(
      `${root}${head}`,
      `it does not have the form of VICRegL's heads: ${problems.slice(0, MAX_NAMED).join('; ')}${more}`,
    );
  }
  const refused = (head: string) => root !== undefined && reasons.has(`${root}${head}`);
  const heads: Heads = {
    ...inferred,
    ...Object.fromEntries(HEADS.filter(refused).map((head) => [head, undefined])),
  };
  const expected = new Map(
    [...shapes].filter(([name]) => !HEADS.some((head) => refused(head) && name.startsWith(`${head}.`))),
  );

  const problems: string[] = [];
  const keys = new Map<string, string>();
  let elements = 0;
  for (const [name, shape] of expected) {
    const { key, shape: stored } = locate(name);
    if (incomplete) {
      if (stored === undefined) {
        expected.delete(name);
        continue;
      }
      expected.set(name, stored);
    }
    keys.set(name, key);
    problems.push(...[problemOf(name, shape) ?? []].flat());
    elements += elementCount(stored ?? shape);
  }
  const taken = new Set(keys.values());
  const others = [...tensors.keys()].filter((key) => !taken.has(key) && !COUNTER.test(key));
  const isOurs = (key: string) => {
    if (!key.startsWith(prefix) || OUTSIDE.test(key.slice(prefix.length))) return false;
    return root !== undefined || naming.own.test(key.slice(prefix.length));
  };
  for (const other of others.filter(isOurs)) problems.push(unexpected(other));
  const name = architectureOf(config);
  if (problems.length > 0 && !incomplete) {
    throw new CheckpointFileError(`it does not fit ${architecture ?? name}:\n  ${problems.join('\n  ')}`);
  }
  if (elements > fileBytes) {
    throw new CheckpointFileError(
      `its weights claim ${elements} elements, more than a file of ${fileBytes} bytes can hold`,
    );
  }
  const normalisesMean = checkpoints.normalisesMean?.({
    by: naming.by,
    hasClassifier: classifierAt !== undefined,
    keyOf: (parameter) => keys.get(`backbone.${parameter}`),
  });
  return {
    architecture: name,
    backbone: config,
    namedBy: naming.by,
    prefix,
    ...(heads.projector && { expander: heads.projector }),
    ...(heads.maps_projector && { localProjector: heads.maps_projector }),
    ...(heads.classifier !== undefined && { classes: heads.classifier }),
    ...(normalisesMean && { poolingOrder: 'mean-norm' }),
    weights: {
      shapes: expected,
      async read(wanted) {
        const { data } = await checkpoint.read(keys.get(wanted)!);
        return tensor('float32', expected.get(wanted)!, data);
      },
    },
    leftOut: grouped(others, taken).map(({ name, tensors }) => {
      const reason = reasons.get(name);
      return { name, tensors, ...(reason !== undefined && { reason }) };
    }),
  };
}

/** Groups keys by their shortest beginning, up to a dot or slash, that no imported key shares. */
function grouped(keys: readonly string[], taken: ReadonlySet<string>): { name: string; tensors: number }[] {
  const beginnings = (key: string) => [...key.matchAll(/[./]|$/g)].map(({ index }) => key.slice(0, index));
  const ours = new Set([...taken].flatMap(beginnings));
  const counts = new Map<string, number>();
  for (const key of keys) {
    const name = beginnings(key).find((beginning) => !ours.has(beginning)) ?? key;
    counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  return [...counts].map(([name, tensors]) => ({ name, tensors }));
}
