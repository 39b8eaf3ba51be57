import { stat } from 'node:fs/promises';
import { basename, resolve } from 'node:path';
import { fileProblem } from '../files/fileProblem.js';
import { type GivenWeights, isModelFolder, openGivenWeights } from '../models/givenWeights.js';
import { UNKNOWN_LICENSE } from '../models/importCheckpoint.js';
import type { ParameterSpec } from '../nn/parameters.js';
import { formatShape, sameShape } from '../onnx/shapes.js';
import { firstNonFinite } from '../tensor/finite.js';
import type { Tensor } from '../tensor/tensor.js';
import { type CheckpointChoice, checkpointPath, loadCheckpoint } from './checkpoint.js';
import { ConfigError } from './config.js';
import type { InitialSource } from './initialSource.js';
import { networkSpecs } from './networkSpecs.js';
import { holdsRun } from './runFolder.js';
import type { StepConfig } from './stepConfig.js';

/** Weights that a run starts from, in place of random ones. */

export interface InitialWeightsOptions {
  /** Model folder, run folder, or checkpoint file: ours, PyTorch's or safetensors. */
  readonly path: string;
  /** Selects one of several encoders in a checkpoint: the prefix of the names of its weights. */
  readonly prefix?: string;
  /** Which checkpoint of a run folder; the newest when absent. */
  readonly checkpoint?: CheckpointChoice;
}

export interface InitialWeights {
  /** By parameter; absent ones are initialised randomly. */
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly source: InitialSource;
  /** Lines for the user: which weights were loaded, which were not, and why. */
  readonly notes: readonly string[];
}

const BACKBONE = 'backbone';
const HEADS = ['projector', 'maps_projector'] as const;
const CLASSIFIER = 'classifier';

/** Most differences that a reason lists; the rest are counted. */
const MAX_NAMED = 3;

function someOf(problems: readonly string[]): string {
  const more = problems.length - MAX_NAMED;
  return `${problems.slice(0, MAX_NAMED).join('; ')}${more > 0 ? ` and ${more} more` : ''}`;
}

const partOf = (name: string): string => name.slice(0, name.indexOf('.'));
const tensorCount = (count: number) => `${count} ${count === 1 ? 'tensor' : 'tensors'}`;

/** What is wrong with the given form of a parameter; undefined if it fits. */
function problemOf({ name, shape }: ParameterSpec, given: GivenWeights): string | undefined {
  const found = given.shapes.get(name);
  if (found === undefined) return `${name} ${formatShape(shape)} is missing`;
  return sameShape(found, shape) ? undefined : `${name} is ${formatShape(found)}, expected ${formatShape(shape)}`;
}

interface Fit {
  readonly taken: readonly ParameterSpec[];
  readonly drawn: InitialSource['drawn'];
  readonly unused: InitialSource['unused'];
}

/** Matches a network with given weights: the backbone tensor by tensor, each head whole or not at all. */
function fitWeights(specs: readonly ParameterSpec[], given: GivenWeights): Fit {
  const taken: ParameterSpec[] = [];
  const drawn: { name: string; reason: string }[] = [];
  const unused = given.leftOut.map((part) => ({ ...part }) as InitialSource['unused'][number]);
  const wanted = new Set(specs.map(({ name }) => name));
  const strangers = (part: string) =>
    [...given.shapes.keys()].filter((name) => partOf(name) === part && !wanted.has(name));

  for (const spec of specs.filter(({ name }) => partOf(name) === BACKBONE)) {
    const reason = problemOf(spec, given);
    if (reason === undefined) taken.push(spec);
    else drawn.push({ name: spec.name, reason });
  }
  const beyond = strangers(BACKBONE);
  const scales = beyond.filter((name) => name.endsWith('.gamma'));
  const others = beyond.filter((name) => !name.endsWith('.gamma'));
  if (scales.length > 0) {
    const reason = 'this configuration has no layer scale, so its blocks compute something else; set model.layerScale';
    unused.push({ name: 'layer scale of the backbone', tensors: scales.length, reason });
  }
  if (others.length > 0) {
    unused.push({ name: BACKBONE, tensors: others.length, reason: `the network has no ${someOf(others)}` });
  }

  for (const head of HEADS) {
    const own = specs.filter(({ name }) => partOf(name) === head);
    const there = [...given.shapes.keys()].filter((name) => partOf(name) === head);
    if (own.length === 0) {
      if (there.length > 0) {
        unused.push({ name: head, tensors: there.length, reason: 'the loss of this run has no such head' });
      }
      continue;
    }
    if (there.length === 0) {
      const form = given.leftOut.find(({ name, reason }) => reason !== undefined && name.split('.').at(-1) === head);
      drawn.push({ name: head, reason: form?.reason ?? 'there is none' });
      continue;
    }
    const problems = [
      ...own.flatMap((spec) => problemOf(spec, given) ?? []),
      ...strangers(head).map((name) => `the network has no ${name}`),
    ];
    if (problems.length === 0) taken.push(...own);
    else drawn.push({ name: head, reason: someOf(problems) });
  }
  const classifier = [...given.shapes.keys()].filter((name) => partOf(name) === CLASSIFIER);
  if (classifier.length > 0) {
    unused.push({ name: CLASSIFIER, tensors: classifier.length, reason: 'its classes are those of other photographs' });
  }
  return { taken, drawn, unused };
}

/** The drawn tensors of the backbone in one line, and each head in one of its own. */
function drawnNotes(drawn: InitialSource['drawn']): string[] {
  const ofBackbone = drawn.filter(({ name }) => partOf(name) === BACKBONE);
  const scales = ofBackbone.length > 0 && ofBackbone.every(({ name }) => name.endsWith('.gamma'));
  return [
    ...(scales
      ? ['the given weights have no layer scale, so their blocks count for little now; leave out model.layerScale']
      : []),
    ...(ofBackbone.length === 0
      ? []
      : [
          `drawn: ${tensorCount(ofBackbone.length)} of the backbone: ${someOf(ofBackbone.map(({ reason }) => reason))}`,
        ]),
    ...drawn.filter((one) => !ofBackbone.includes(one)).map(({ name, reason }) => `drawn: ${name}: ${reason}`),
  ];
}

/** Resolves a path to a file: for a run folder its checkpoint, which is read once to check that it is intact. */
async function fileOf({ path, checkpoint }: InitialWeightsOptions): Promise<{ path: string; folder?: string }> {
  const found = await stat(path).catch((cause: unknown) => {
    throw new ConfigError(`the weights to start from, ${path}, cannot be read: ${fileProblem(cause)}`, { cause });
  });
  const isRun = found.isDirectory() && !(await isModelFolder(path)) && (await holdsRun(path));
  if (checkpoint !== undefined && !isRun) {
    throw new ConfigError(`--checkpoint chooses one of a run's, and ${path} is not a run folder; leave it out`);
  }
  if (isRun) {
    const { step } = await loadCheckpoint(path, checkpoint);
    return { path: checkpointPath(path, step), folder: `${basename(resolve(path))}/checkpoints` };
  }
  if (found.isDirectory() && !(await isModelFolder(path))) {
    throw new ConfigError(
      `${path} is neither a model folder (it holds no manifest.json) nor a run folder (it holds no config.yaml)`,
    );
  }
  return { path };
}

/**
 * Reads the weights that a run starts from, as far as they fit its network: the backbone tensor by tensor with its running
 * statistics, expander and local projector whole or not at all. The rest is initialised as in a run without given weights.
 * The online classifier and the optimizer's state are always initialised.
 * @throws ConfigError where nothing of the backbone fits, or nothing is there; CheckpointFileError, CheckpointError and
 *   ModelFolderError for what cannot be read.
 */
export async function readInitialWeights(options: InitialWeightsOptions, config: StepConfig): Promise<InitialWeights> {
  const { path, folder } = await fileOf(options);
  const given = await openGivenWeights(path, options.prefix);
  try {
    const { parameters, buffers } = networkSpecs(config);
    const specs = [...parameters, ...buffers];
    const { taken, drawn, unused } = fitWeights(specs, given);
    const counts = new Map<string, number>();
    for (const { name } of taken) counts.set(partOf(name), (counts.get(partOf(name)) ?? 0) + 1);
    if (!counts.has(BACKBONE)) {
      const reasons = drawn.filter(({ name }) => partOf(name) === BACKBONE).map(({ reason }) => reason);
      throw new ConfigError(
        `nothing of the backbone in ${path}, a ${given.architecture}, fits the network of this configuration: ` +
          `${someOf(reasons)}; set model.architecture (depths, widths) to what the file has`,
      );
    }
    const tensors = new Map<string, Tensor>();
    for (const { name } of taken) {
      const value = await given.read(name);
      const bad = firstNonFinite(value);
      if (bad !== undefined) {
        throw new ConfigError(`${path}: ${name} holds ${bad.value} (element ${bad.index}); choose other weights`);
      }
      tensors.set(name, value);
    }
    const { sha256, prefix, license, poolingOrder } = given;
    const source: InitialSource = {
      file: folder === undefined ? given.file : `${folder}/${given.file}`,
      sha256,
      ...(prefix !== undefined && { prefix }),
      license,
      taken: Object.fromEntries(counts),
      ...{ drawn, unused },
    };
    const all = (part: string) => specs.filter(({ name }) => partOf(name) === part).length;
    const parts = [...counts].map(([part, count]) => `${part} (${count} of ${tensorCount(all(part))})`);
    return {
      tensors,
      source,
      notes: [
        `starts from the weights of ${source.file}: ${parts.join(', ')}`,
        ...drawnNotes(drawn),
        ...unused.map(
          ({ name, tensors: count, reason }) =>
            `not used: ${name || 'the rest'} (${tensorCount(count)})${reason === undefined ? '' : `: ${reason}`}`,
        ),
        ...(poolingOrder === 'mean-norm'
          ? ['its last norm was trained on the mean of the map; here every cell is normalised before the mean']
          : []),
        ...(license === UNKNOWN_LICENSE
          ? []
          : [`the weights that it starts from are ${license}; what comes of them may be bound by it`]),
      ],
    };
  } finally {
    await given.close();
  }
}
