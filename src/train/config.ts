import { z } from 'zod';
import { MAX_VIEW_SIZE, MAX_WORKERS } from '../data/loaderOptions.js';
import {
  type BackboneConfig,
  backboneChannels,
  backboneConfigs,
  backboneOfArchitecture,
  backboneStride,
  mapCells,
  withLayerScale,
  withOutputStride,
} from '../nn/backbone.js';
import { augmentationProblems, augmentationSchema } from './augmentationSchema.js';
import { betterOf } from './checkpointScore.js';
import { explainIssue, keyTree } from './configKeys.js';
import { intentProblems } from './intent.js';
import type { Direction } from './loggedTerms.js';
import { microBatchProblems } from './microBatch.js';
import { PRECISIONS } from './precision.js';
import { probeProblems, probeSchema } from './probeSchema.js';
import { usualBaseLr, usualWarmupEpochs, WEIGHT_DECAY } from './rates.js';

/** Threads of a step at most, as those of the flags. */
const MAX_THREADS = 1024;

const widths = z.array(z.int().positive()).min(1);
const nonNegative = z.number().min(0);
const share = z.tuple([z.number().gt(0).max(1), z.number().gt(0).max(1)]);

/** The keys of a configuration. */
const keysSchema = z.strictObject({
  name: z.string().min(1).describe('Name of the run, and default name of its model folder.'),
  license: z
    .string()
    .trim()
    .min(1)
    .optional()
    .describe('Licence of the weights, such as Apache-2.0, for the manifests of exported models. Default: unknown.'),
  seed: z
    .int()
    .min(0)
    .default(0)
    .describe('Random seed of initial weights, crops, augmentation, image order and drop path.'),
  data: z.strictObject({
    source: z
      .union([z.string().min(1), z.array(z.string().min(1)).min(1)])
      .describe(
        'Folder, .tar, .tar.gz, list (.csv, .tsv, .jsonl) or WebDataset shards (train-{000..099}.tar, or a list of paths), relative to the working folder.',
      ),
    labels: z
      .enum(['none', 'folders', 'given'])
      .default('none')
      .describe(
        "Labels for the online classifier. folders: the name of an image's folder is its class; given: labels from the list or shards.",
      ),
    workers: z.int().min(1).max(MAX_WORKERS).default(1).describe('Number of threads that decode and augment.'),
    cacheBytes: z
      .int()
      .min(0)
      .default(512 * 2 ** 20)
      .describe('Memory for decoded photographs in bytes.'),
    prefetchBytes: z
      .int()
      .min(0)
      .default(512 * 2 ** 20)
      .describe(
        'Memory in bytes for batches that are prepared ahead of the step; at least one batch, at most three (or stepsPerRun).',
      ),
  }),
  crops: z
    .strictObject({
      size: z
        .int()
        .min(32)
        .max(MAX_VIEW_SIZE)
        .default(224)
        .describe('Side of the two large views in pixels; a multiple of the stride.'),
      scale: share
        .default([0.08, 1])
        .describe("Minimum and maximum share of the photograph's area that a crop covers."),
      small: z
        .strictObject({
          count: z.int().min(1).describe('Number of small views per photograph; 6 in the paper.'),
          size: z
            .int()
            .min(32)
            .max(MAX_VIEW_SIZE)
            .default(96)
            .describe('Side of the small views in pixels; a multiple of the stride.'),
          scale: share.default([0.08, 0.4]).describe('Minimum and maximum share of the area that a small view covers.'),
        })
        .optional(),
      mirrorFlippedGrid: z
        .boolean()
        .default(true)
        .describe("Mirror the location grid of flipped views (correct). false reproduces the authors' behaviour."),
    })
    .prefault({}),
  augmentation: augmentationSchema,
  model: z
    .strictObject({
      architecture: z
        .string()
        .default('convnext_atto')
        .describe(
          'Name of a ConvNeXt or ResNet; or custom (a ConvNeXt), resnet_basic or resnet_bottleneck, with the given depths and widths.',
        ),
      depths: widths
        .optional()
        .describe(
          'Number of blocks of each stage, for custom, resnet_basic and resnet_bottleneck. Three stages end at stride 16.',
        ),
      widths: widths
        .optional()
        .describe(
          'Number of output channels of each stage, for custom, resnet_basic and resnet_bottleneck. Those of a ResNet double from stage to stage.',
        ),
      outputStride: z
        .union([z.literal(8), z.literal(16), z.literal(32)])
        .optional()
        .describe(
          'ResNet: input pixels from one cell of the map to the next, 8, 16 or 32, by dilation of the last stages. Default: 32 with four stages.',
        ),
      layerScale: z
        .number()
        .gt(0)
        .optional()
        .describe('ConvNeXt: initial value of layer scale, such as 1e-6. Default: no layer scale, as in the paper.'),
      expander: widths.default([8192, 8192, 8192]).describe('Layer widths of the expander (global head).'),
      localProjector: widths.default([512, 512, 512]).describe('Layer widths of the local projector.'),
      dropPath: z
        .number()
        .min(0)
        .lt(1)
        .default(0.1)
        .describe('Stochastic depth rate of the last block; it increases linearly from 0 at the first.'),
    })
    .prefault({}),
  loss: z
    .strictObject({
      alpha: z
        .number()
        .min(0)
        .max(1)
        .default(0.75)
        .describe('Weight of the global loss. 1 is VICReg (or SimCLR), smaller values are VICRegL (or SimCLR-L).'),
      criterion: z
        .enum(['vicreg', 'simclr'])
        .default('vicreg')
        .describe('Criterion of both losses: VICReg, or NT-Xent (simclr).'),
      temperature: z
        .number()
        .gt(0)
        .default(0.15)
        .describe('simclr: temperature by which cosine similarities are divided.'),
      numMatches: z
        .tuple([z.int().positive(), z.int().positive()])
        .default([20, 4])
        .describe('Number of pairs kept per direction: from the pivot view, and from the other view.'),
      featureMatches: z
        .enum(['all', 'top'])
        .default('all')
        .describe('Feature-based pairs that are kept: all, or the closest numMatches.'),
      matches: z.enum(['both', 'location', 'feature']).default('both').describe('Kinds of matches in the local loss.'),
      invariance: nonNegative
        .default(25)
        .describe('vicreg: weight of the invariance terms. A term with weight 0 is neither computed nor logged.'),
      variance: nonNegative.default(25).describe('vicreg: weight of the variance terms.'),
      covariance: nonNegative.default(1).describe('vicreg: weight of the covariance terms.'),
      local: z
        .strictObject({
          invariance: nonNegative.optional().describe('vicreg: weight of the local invariance term.'),
          variance: nonNegative.optional().describe('vicreg: weight of the local variance term.'),
          covariance: nonNegative.optional().describe('vicreg: weight of the local covariance term.'),
        })
        .optional()
        .describe('Weights of the local criterion, if they differ from the global ones.'),
    })
    .prefault({}),
  optimizer: z
    .strictObject({
      kind: z
        .enum(['adamw', 'lars', 'sgd'])
        .default('adamw')
        .describe(
          'Optimizer. The paper uses adamw for ConvNeXt and lars for ResNet; sgd has momentum without Nesterov.',
        ),
      baseLr: z
        .number()
        .gt(0)
        .optional()
        .describe(
          'Peak learning rate for a batch of 256. Default: adamw 0.00075 x root(384 / batchSize), lars 0.4 x root(512 / batchSize) and at most 0.8, sgd 0.01 x root(256 / batchSize).',
        ),
      weightDecay: nonNegative
        .optional()
        .describe(
          'Weight decay of matrices and kernels; vectors have none. Default: 0.05 for adamw, 1e-6 for lars, 1e-4 for sgd.',
        ),
      beta1: z.number().min(0).lt(1).default(0.9).describe('adamw: decay rate of the first moment.'),
      beta2: z.number().min(0).lt(1).default(0.999).describe('adamw: decay rate of the second moment.'),
      epsilon: z.number().gt(0).default(1e-8).describe('adamw: term added to the denominator.'),
      momentum: z.number().min(0).lt(1).default(0.9).describe('lars, sgd: momentum.'),
      eta: z.number().gt(0).default(0.001).describe('lars: trust coefficient.'),
      clipNorm: z
        .number()
        .gt(0)
        .optional()
        .describe(
          'Maximum global gradient norm (grad_norm in the log); larger gradients are scaled down to it. Default: no clipping.',
        ),
      emaDecay: z
        .number()
        .gt(0)
        .lt(1)
        .optional()
        .describe(
          'Decay rate per step of the averaged weights (EMA) for export --weights ema. Default: no averaged weights.',
        ),
    })
    .prefault({}),
  probe: probeSchema.optional(),
  batchSize: z.int().min(2).describe('Photographs per step; the statistics of the loss are computed over them.'),
  microBatch: z
    .int()
    .min(1)
    .optional()
    .describe(
      'Photographs per forward pass, a divisor of batchSize. Reduces memory; loss and gradients remain those of the whole batch, except that batch normalisation (ResNet) takes its statistics over a forward pass. Default: batchSize.',
    ),
  syncBatchNorm: z
    .boolean()
    .default(true)
    .describe(
      'With several ranks (--distributed), whether batch normalisation takes its statistics over the photographs of all ranks. false: over those of each rank, with fewer exchanges.',
    ),
  epochs: nonNegative.describe(
    'Number of passes over the photographs; may be fractional. 0: the run consists of its initial weights.',
  ),
  warmupEpochs: nonNegative
    .optional()
    .describe('Epochs over which the learning rate rises from 0. Default: 10, but at most a tenth of epochs.'),
  endLrRatio: nonNegative.default(0.001).describe('Final learning rate as a fraction of the peak, at most 1.'),
  stepsPerRun: z
    .int()
    .min(1)
    .default(1)
    .describe(
      'Steps per run of the graph. Values above 1 avoid copies of the weights on a GPU but need memory for twice that number of batches.',
    ),
  precision: z
    .enum(PRECISIONS)
    .default('fp32')
    .describe(
      "Type of the network's convolutions and matrix products; all else is float32. fp16: with a dynamic loss scale. bf16: convolutions stay in float32; on CUDA only.",
    ),
  threads: z.int().min(1).max(MAX_THREADS).optional().describe('Threads of the training step. Default: all cores.'),
  checkpoints: z
    .strictObject({
      every: z.int().min(1).default(200).describe('Steps between checkpoints.'),
      keep: z
        .int()
        .min(1)
        .default(2)
        .describe('Number of newest checkpoints that are kept, in addition to the best one.'),
      best: z
        .strictObject({
          metric: z
            .string()
            .min(1)
            .default('l')
            .describe(
              'Logged loss, accuracy or monitor that selects the best checkpoint: its mean since the previous checkpoint.',
            ),
          mode: z
            .enum(['min', 'max'])
            .optional()
            .describe(
              'Whether the smallest or the largest value is the best. Default: by the metric, max for accuracies and collapse monitors, min for losses and redundancy monitors.',
            ),
        })
        .prefault({}),
    })
    .prefault({}),
  alarm: z
    .strictObject({
      collapse: z
        .strictObject({
          threshold: z
            .number()
            .min(0)
            .lt(1)
            .default(0.2)
            .describe(
              'The run warns of a collapse if stde (with a global loss) or stdm (with a local loss), multiplied by the square root of its channels, stays below this. Evenly spread vectors have 1; 0 disables the warning.',
            ),
          steps: z.int().min(1).default(50).describe('Number of consecutive steps after which the run warns.'),
        })
        .prefault({}),
    })
    .prefault({}),
});

type Keys = z.output<typeof keysSchema>;
type Report = (path: (string | number)[], message: string) => void;

/** Reports the keys with which no run could work. */
function checkKeys(config: Keys, problem: Report): void {
  let backbone: BackboneConfig;
  try {
    backbone = backboneOf(config.model);
  } catch (error) {
    problem(['model', 'architecture'], (error as Error).message);
    return;
  }
  const stride = backboneStride(backbone);
  const { crops, loss } = config;
  const groups = [
    { ...crops, path: ['crops'] },
    ...(crops.small ? [{ ...crops.small, path: ['crops', 'small'] }] : []),
  ];
  for (const { size, scale, path } of groups) {
    if (size % stride !== 0) {
      const nearest = Math.max(1, Math.round(size / stride)) * stride;
      problem([...path, 'size'], `${size} is not a multiple of the stride ${stride}; use ${nearest}`);
    }
    if (scale[0] > scale[1]) {
      problem([...path, 'scale'], `the minimum ${scale[0]} exceeds the maximum ${scale[1]}`);
    }
  }
  // Pivots are large views. The other view of a pair may have any size, so its matches must fit the smallest map.
  const smallest = Math.min(...groups.map(({ size }) => size));
  [crops.size, smallest].forEach((size, i) => {
    const [matches, cells] = [loss.numMatches[i]!, mapCells(backbone, size) ** 2];
    const used = loss.alpha < 1 && !(loss.matches === 'feature' && loss.featureMatches === 'all');
    if (used && matches > cells) {
      problem(
        ['loss', 'numMatches', i],
        `${matches} exceeds the ${cells} cells of a ${size}-pixel crop's map; use at most ${cells}`,
      );
    }
  });
  for (const [head, used] of [
    ['expander', loss.alpha > 0],
    ['localProjector', loss.alpha < 1],
  ] as const) {
    const channels = config.model[head].at(-1)!;
    if (used && channels < 2) {
      problem(
        ['model', head],
        `it ends with ${channels} channel, and the criterion and its monitors compare channels; use at least 2`,
      );
    }
  }
  if (backboneChannels(backbone) < 2) {
    problem(
      ['model', 'widths'],
      'the last stage has 1 channel, and the monitors of its representations compare channels; use at least 2',
    );
  }
  const { invariance, variance, covariance } = loss;
  const global = { invariance, variance, covariance };
  for (const [part, weights, used, path] of [
    ['global', global, loss.alpha > 0, ['loss', 'invariance']],
    ['local', { ...global, ...loss.local }, loss.alpha < 1, ['loss', 'local', 'invariance']],
  ] as const) {
    if (used && loss.criterion === 'vicreg' && Object.values(weights).every((weight) => weight === 0)) {
      problem(
        [...path],
        `all weights of the ${part} loss are 0; give one a weight, or set loss.alpha to ${part === 'local' ? 1 : 0}`,
      );
    }
  }
  for (const message of microBatchProblems(config, backbone)) problem(['microBatch'], message);
  for (const { path, message } of augmentationProblems(config.augmentation)) problem(path, message);
  for (const { path, message } of probeProblems(config, stride)) problem(path, message);
  if (config.warmupEpochs !== undefined && config.warmupEpochs > 0 && config.warmupEpochs >= config.epochs) {
    problem(['warmupEpochs'], `${config.warmupEpochs} must be less than epochs (${config.epochs})`);
  }
}

const reportTo =
  (context: z.core.$RefinementCtx): Report =>
  (path, message) =>
    context.addIssue({ code: 'custom', path, message });

/** A training run's configuration. The descriptions are its documentation; unknown keys are rejected. */
export const trainConfigSchema = keysSchema.superRefine((config, context) => {
  checkKeys(config, reportTo(context));
  for (const { path, message } of intentProblems(config)) reportTo(context)(path, message);
});

/** The configuration of a run that exists, which an older version may have accepted. */
const recordedConfigSchema = keysSchema.superRefine((config, context) => checkKeys(config, reportTo(context)));

/** A valid configuration with all defaults filled in. */
export type TrainConfig = Keys & {
  readonly optimizer: { readonly baseLr: number; readonly weightDecay: number };
  readonly warmupEpochs: number;
  readonly checkpoints: { readonly best: { readonly mode: Direction } };
};

/** Fills in the defaults that depend on other keys. */
function withDerivedDefaults(config: Keys): TrainConfig {
  const { optimizer, batchSize, epochs, checkpoints } = config;
  const { best } = checkpoints;
  const resolved = {
    ...config,
    optimizer: {
      ...optimizer,
      baseLr: optimizer.baseLr ?? usualBaseLr(optimizer.kind, batchSize),
      weightDecay: optimizer.weightDecay ?? WEIGHT_DECAY[optimizer.kind],
    },
    warmupEpochs: config.warmupEpochs ?? usualWarmupEpochs(epochs),
    checkpoints: { ...checkpoints, best: { ...best, mode: best.mode ?? betterOf(best.metric) ?? 'min' } },
  };
  // Parsing again restores the schema's order of keys, so that a configuration that is written and read again gives the same text.
  return keysSchema.parse(resolved) as TrainConfig;
}

/** A configuration that cannot be read or cannot work; lists every problem with its key. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';
}

/** The backbone that a configuration names. @throws ConfigError for an unknown name, or keys that do not fit it. */
export function backboneOf(model: {
  architecture: string;
  depths?: number[] | undefined;
  widths?: number[] | undefined;
  layerScale?: number | undefined;
  outputStride?: number | undefined;
}): BackboneConfig {
  const { architecture, depths, widths: channels, layerScale, outputStride } = model;
  const backbone = namedBackbone(architecture, depths, channels);
  try {
    const strided = outputStride === undefined ? backbone : withOutputStride(backbone, outputStride);
    return layerScale === undefined ? strided : withLayerScale(strided, layerScale);
  } catch (cause) {
    throw new ConfigError(`"${architecture}": ${(cause as Error).message}`, { cause });
  }
}

/** Architecture names whose depths and widths are set in the configuration. */
const SIZED = ['custom', 'resnet_basic', 'resnet_bottleneck'] as const;

function namedBackbone(architecture: string, depths?: number[], channels?: number[]): BackboneConfig {
  if ((SIZED as readonly string[]).includes(architecture)) {
    if (depths === undefined || channels === undefined || depths.length !== channels.length) {
      throw new ConfigError(`${architecture} requires model.depths and model.widths of the same length`);
    }
    try {
      return backboneOfArchitecture(architecture, { depths, widths: channels });
    } catch (cause) {
      throw new ConfigError((cause as Error).message, { cause });
    }
  }
  if (!Object.hasOwn(backboneConfigs, architecture)) {
    throw new ConfigError(
      `"${architecture}" is unknown; use one of ${Object.keys(backboneConfigs).join(', ')}, or ${SIZED.join(', ')} with model.depths and model.widths`,
    );
  }
  if (depths !== undefined || channels !== undefined) {
    throw new ConfigError(
      `"${architecture}" has fixed depths and widths; remove model.depths and model.widths, or use ${SIZED.join(' or ')}`,
    );
  }
  return backboneConfigs[architecture]!;
}

/** All keys, created on first use. */
let keys: ReturnType<typeof keyTree> | undefined;
export function trainConfigKeys(): ReturnType<typeof keyTree> {
  keys ??= keyTree(trainConfigSchema);
  return keys;
}

/** A key that was set by a flag: its path, and the flag. */
export interface SetKey {
  readonly path: readonly string[];
  /** As it was given, such as `--set epochs=3`. */
  readonly flag: string;
}

/** The flag that caused a problem: the last one that set the key, a part of its value, or its group. */
function flagOf(issue: z.core.$ZodIssue, set: readonly SetKey[]): string | undefined {
  const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  const within = (path: readonly PropertyKey[], whole: readonly string[]) =>
    whole.every((key, i) => path.length <= i || String(path[i]) === key);
  return set.findLast(({ path }) => path.length > 0 && paths.some((of) => within(of, path)))?.flag;
}

/** Issues as an error that lists every one of them. @param name @param set as for parseTrainConfig */
function refusal(issues: readonly z.core.$ZodIssue[], name: string, set: readonly SetKey[]): ConfigError {
  const problems = issues.map((issue) => ({ issue, flag: flagOf(issue, set) }));
  const flags = [...new Set(problems.map(({ flag }) => flag))];
  const ofFlags = flags.every((flag) => flag !== undefined);
  const lines = problems.flatMap(({ issue, flag }) => {
    const key = issue.path.join('.') || '(top level)';
    const from = flag === undefined || (ofFlags && flags.length === 1) ? '' : ` (${flag})`;
    return explainIssue(issue, trainConfigKeys()).map((text) => `  ${key}: ${text}${from}`);
  });
  const beside = [...new Set(set.map(({ flag }) => flag))].join(' ');
  const what = ofFlags
    ? `${flags.join(' ')} does not fit ${name}`
    : `${name}${beside === '' ? '' : ` with ${beside}`} is not a valid training configuration`;
  return new ConfigError(`${what}:\n${lines.join('\n')}`);
}

/**
 * Validates a configuration.
 * @param name of its file, for the error.
 * @param set settings in addition to the file: problems with them are reported with their flag.
 * @throws ConfigError listing every problem.
 */
export function parseTrainConfig(raw: unknown, name: string, set: readonly SetKey[] = []): TrainConfig {
  const result = trainConfigSchema.safeParse(raw, { reportInput: true });
  if (!result.success) throw refusal(result.error.issues, name, set);
  return withDerivedDefaults(result.data);
}

/**
 * The same for the configuration of a run that exists. What a later version refuses as hardly meant (intent.ts) does not keep the
 * run from being resumed, exported and compared; only keys among `set` are checked for that.
 */
export function parseRecordedConfig(raw: unknown, name: string, set: readonly SetKey[] = []): TrainConfig {
  const result = recordedConfigSchema.safeParse(raw, { reportInput: true });
  if (!result.success) throw refusal(result.error.issues, name, set);
  const ofSet = intentProblems(result.data)
    .map(({ path, message }): z.core.$ZodIssue => ({ code: 'custom', path, message, input: undefined }))
    .filter((issue) => flagOf(issue, set) !== undefined);
  if (ofSet.length > 0) throw refusal(ofSet, name, set);
  return withDerivedDefaults(result.data);
}
