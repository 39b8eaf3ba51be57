import { z } from 'zod';
import {
  type BackboneConfig,
  backboneConfigs,
  backboneOfArchitecture,
  backboneStride,
  headNorm,
  mapCells,
  withLayerScale,
} from '../nn/backbone.js';
import { augmentationProblems, augmentationSchema } from './augmentationSchema.js';
import { keyTree, unknownKey } from './configKeys.js';
import { probeProblems, probeSchema } from './probeSchema.js';
import { usualBaseLr, usualWarmupEpochs, WEIGHT_DECAY } from './rates.js';

const widths = z.array(z.int().positive()).min(1);
const nonNegative = z.number().min(0);
const share = z.tuple([z.number().gt(0).max(1), z.number().gt(0).max(1)]);

/** The micro-batches that a batch can be taken in, ascending, the whole batch last. @param norm of the network's heads. */
export function microBatchChoices(batchSize: number, norm: 'layer' | 'batch'): number[] {
  // Statistics of one vector have no variance.
  const least = norm === 'batch' ? 2 : 1;
  return Array.from({ length: batchSize }, (_, i) => i + 1).filter((m) => m >= least && batchSize % m === 0);
}

/** What is wrong with a micro-batch, with the values that would do. */
function microBatchProblems(
  { batchSize, microBatch, stepsPerRun }: { batchSize: number; microBatch?: number | undefined; stepsPerRun: number },
  backbone: BackboneConfig,
): string[] {
  if (microBatch === undefined || microBatch === batchSize) return [];
  const divisors = microBatchChoices(batchSize, headNorm(backbone));
  const nearest = [
    divisors.filter((divisor) => divisor < microBatch).at(-1),
    divisors.find((divisor) => divisor > microBatch),
  ].filter((divisor) => divisor !== undefined);
  const use = `use ${nearest.join(' or ')}`;
  return [
    ...(batchSize % microBatch === 0 ? [] : [`${microBatch} does not divide batchSize ${batchSize}; ${use}`]),
    ...(microBatch < divisors[0]!
      ? [`${microBatch} is too few for batch normalisation, whose statistics are over a micro-batch; ${use}`]
      : []),
    ...(stepsPerRun === 1
      ? []
      : [
          `${microBatch} takes several runs a step, stepsPerRun ${stepsPerRun} several steps a run; leave one of them out`,
        ]),
  ];
}

/** A training run's configuration. The descriptions are its documentation; unknown keys are refused. */
export const trainConfigSchema = z
  .strictObject({
    name: z.string().min(1).describe('Name of the run, and of the model folder that is proposed for it.'),
    license: z
      .string()
      .trim()
      .min(1)
      .optional()
      .describe('Licence of the weights, such as Apache-2.0, for the manifests of exported models. Absent: unknown.'),
    seed: z.int().min(0).default(0).describe('Fixes initial weights, crops, augmentation, order and drop path.'),
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
          "For the online classifier. folders: the name of an image's folder is its class; given: by the list's or the shards' labels.",
        ),
      workers: z.int().min(1).default(1).describe('Threads that decode and augment.'),
      cacheBytes: z
        .int()
        .min(0)
        .default(512 * 2 ** 20)
        .describe('Memory for decoded photographs, bytes.'),
      prefetchBytes: z
        .int()
        .min(0)
        .default(512 * 2 ** 20)
        .describe('Memory for batches made ahead of the step, bytes: three at most, one at least.'),
    }),
    crops: z
      .strictObject({
        size: z.int().min(32).default(224).describe('Side of both large views in pixels; a multiple of the stride.'),
        scale: share.default([0.08, 1]).describe("Share of the photograph's area that a crop covers, from and to."),
        small: z
          .strictObject({
            count: z.int().min(1).describe('Small views of each photograph; 6 in the paper.'),
            size: z.int().min(32).default(96).describe('Side of the small views in pixels; a multiple of the stride.'),
            scale: share.default([0.08, 0.4]).describe('Share of the area that a small view covers, from and to.'),
          })
          .optional(),
        mirrorFlippedGrid: z
          .boolean()
          .default(true)
          .describe("Mirror the location grid of flipped views (correct). false: the authors' behaviour."),
      })
      .prefault({}),
    augmentation: augmentationSchema,
    model: z
      .strictObject({
        architecture: z
          .string()
          .default('convnext_atto')
          .describe('A ConvNeXt or ResNet name, or custom: a ConvNeXt with depths and widths.'),
        depths: widths.optional().describe('Blocks of each stage, for architecture custom.'),
        widths: widths.optional().describe('Channels of each stage, for architecture custom.'),
        layerScale: z
          .number()
          .gt(0)
          .optional()
          .describe('ConvNeXt: initial value of layer scale, such as 1e-6. Absent: none, as in the paper.'),
        expander: widths.default([8192, 8192, 8192]).describe('Widths of the expander (global head).'),
        localProjector: widths.default([512, 512, 512]).describe('Widths of the local projector.'),
        dropPath: z
          .number()
          .min(0)
          .lt(1)
          .default(0.1)
          .describe('Stochastic depth of the last block; grows linearly from 0.'),
      })
      .prefault({}),
    loss: z
      .strictObject({
        alpha: z
          .number()
          .min(0)
          .max(1)
          .default(0.75)
          .describe('Weight of the global loss; 1 is VICReg (or SimCLR), less VICRegL (or SimCLR-L).'),
        criterion: z
          .enum(['vicreg', 'simclr'])
          .default('vicreg')
          .describe('What both losses are made of: the VICReg criterion, or NT-Xent in its place.'),
        temperature: z.number().gt(0).default(0.15).describe('simclr: divides the cosines.'),
        numMatches: z
          .tuple([z.int().positive(), z.int().positive()])
          .default([20, 4])
          .describe('Pairs kept per direction: from the pivot view, from the other.'),
        featureMatches: z.enum(['all', 'top']).default('all').describe('Feature-based pairs kept: all, or numMatches.'),
        matches: z
          .enum(['both', 'location', 'feature'])
          .default('both')
          .describe('Kinds of matches in the local loss.'),
        invariance: nonNegative
          .default(25)
          .describe('vicreg: weight of the invariance terms. 0 leaves a term out, of the log too.'),
        variance: nonNegative.default(25).describe('vicreg: weight of the variance terms.'),
        covariance: nonNegative.default(1).describe('vicreg: weight of the covariance terms.'),
        local: z
          .strictObject({
            invariance: nonNegative.optional().describe('vicreg: weight of the local invariance term.'),
            variance: nonNegative.optional().describe('vicreg: weight of the local variance term.'),
            covariance: nonNegative.optional().describe('vicreg: weight of the local covariance term.'),
          })
          .optional()
          .describe('Weights of the local criterion, where they differ from the global ones.'),
      })
      .prefault({}),
    optimizer: z
      .strictObject({
        kind: z
          .enum(['adamw', 'lars', 'sgd'])
          .default('adamw')
          .describe('adamw for ConvNeXt, lars for ResNet in the paper; sgd has momentum and no Nesterov.'),
        baseLr: z
          .number()
          .gt(0)
          .optional()
          .describe(
            'Peak learning rate for a batch of 256. Absent: by kind and batchSize, adamw 0.00075 x root(384 / batchSize), lars 0.4 x root(512 / batchSize) and at most 0.8, sgd 0.01 x root(256 / batchSize).',
          ),
        weightDecay: nonNegative
          .optional()
          .describe(
            'Decay of matrices and kernels; vectors have none. Absent: 0.05 for adamw, 1e-6 for lars, 1e-4 for sgd.',
          ),
        beta1: z.number().min(0).lt(1).default(0.9).describe('adamw: memory of the mean of gradients.'),
        beta2: z.number().min(0).lt(1).default(0.999).describe('adamw: memory of the mean of their squares.'),
        epsilon: z.number().gt(0).default(1e-8).describe('adamw: added to the root of that mean.'),
        momentum: z.number().min(0).lt(1).default(0.9).describe('lars, sgd: memory of the update.'),
        eta: z.number().gt(0).default(0.001).describe('lars: trust coefficient.'),
        clipNorm: z
          .number()
          .gt(0)
          .optional()
          .describe('Gradients whose global norm (log: grad_norm) exceeds this are scaled down to it. Absent: never.'),
        emaDecay: z
          .number()
          .gt(0)
          .lt(1)
          .optional()
          .describe(
            'Memory per step of averaged weights kept beside, for export --weights ema. Absent: none are kept.',
          ),
      })
      .prefault({}),
    probe: probeSchema.optional(),
    batchSize: z.int().min(2).describe('Photographs per step; the statistics of the loss are over them.'),
    microBatch: z
      .int()
      .min(1)
      .optional()
      .describe(
        'Photographs of one forward pass, a divisor of batchSize: memory for these, loss and gradients of the whole batch. Absent: all of them.',
      ),
    epochs: z.number().gt(0).describe('Passes over the photographs; may be a fraction.'),
    warmupEpochs: nonNegative
      .optional()
      .describe('Epochs over which the learning rate rises from 0. Absent: 10, and at most a tenth of epochs.'),
    endLrRatio: nonNegative.default(0.001).describe('Last learning rate over the peak.'),
    stepsPerRun: z
      .int()
      .min(1)
      .default(1)
      .describe(
        'Steps in one run of the graph; more than 1 spares a GPU copies of the weights and costs memory for as many batches.',
      ),
    threads: z.int().min(1).optional().describe('Threads of the training step; all cores when absent.'),
    checkpoints: z
      .strictObject({
        every: z.int().min(1).default(200).describe('Steps from one checkpoint to the next.'),
        keep: z.int().min(1).default(2).describe('Newest checkpoints kept; the best one is kept beside them.'),
        best: z
          .strictObject({
            metric: z
              .string()
              .min(1)
              .default('l')
              .describe(
                'Name in the log by which the best checkpoint is chosen: its mean since the checkpoint before.',
              ),
            mode: z.enum(['min', 'max']).default('min').describe('Whether the smallest or the largest is the best.'),
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
                'The run warns of a collapse when stde (of the global loss) or stdm (of the local loss) times the root of its channels, 1 where vectors spread evenly, stays under this; 0 switches it off.',
              ),
            steps: z.int().min(1).default(50).describe('Steps in a row that it takes to warn.'),
          })
          .prefault({}),
      })
      .prefault({}),
  })
  .superRefine((config, context) => {
    const problem = (path: (string | number)[], message: string) => context.addIssue({ code: 'custom', path, message });
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
        problem([...path, 'scale'], `the first share ${scale[0]} exceeds the second ${scale[1]}`);
      }
    }
    // Pivots are large; the other view of a pair is of any size, so its matches must fit the smallest map.
    const smallest = Math.min(...groups.map(({ size }) => size));
    [crops.size, smallest].forEach((size, i) => {
      const [matches, cells] = [loss.numMatches[i]!, mapCells(backbone, size) ** 2];
      if (loss.alpha < 1 && matches > cells) {
        problem(
          ['loss', 'numMatches', i],
          `${matches} exceeds the ${cells} cells of a ${size}-pixel crop's map; use at most ${cells}`,
        );
      }
    });
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
    if (config.warmupEpochs !== undefined && config.warmupEpochs >= config.epochs) {
      problem(['warmupEpochs'], `${config.warmupEpochs} must be less than epochs (${config.epochs})`);
    }
  });

type Parsed = z.output<typeof trainConfigSchema>;

/** A valid configuration in which nothing is left to defaults. */
export type TrainConfig = Parsed & {
  readonly optimizer: { readonly baseLr: number; readonly weightDecay: number };
  readonly warmupEpochs: number;
};

/** Fills in the defaults that follow from other keys. */
function withDerivedDefaults(config: Parsed): TrainConfig {
  const { optimizer, batchSize, epochs } = config;
  const resolved = {
    ...config,
    optimizer: {
      ...optimizer,
      baseLr: optimizer.baseLr ?? usualBaseLr(optimizer.kind, batchSize),
      weightDecay: optimizer.weightDecay ?? WEIGHT_DECAY[optimizer.kind],
    },
    warmupEpochs: config.warmupEpochs ?? usualWarmupEpochs(epochs),
  };
  // Once more through the schema, which has its own order of keys: a configuration written and read again is the same text.
  return trainConfigSchema.parse(resolved) as TrainConfig;
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
}): BackboneConfig {
  const { architecture, depths, widths: channels, layerScale } = model;
  const backbone = namedBackbone(architecture, depths, channels);
  if (layerScale === undefined) return backbone;
  try {
    return withLayerScale(backbone, layerScale);
  } catch (cause) {
    throw new ConfigError(`"${architecture}": ${(cause as Error).message}`, { cause });
  }
}

function namedBackbone(architecture: string, depths?: number[], channels?: number[]): BackboneConfig {
  if (architecture === 'custom') {
    if (depths === undefined || channels === undefined || depths.length !== channels.length) {
      throw new ConfigError('custom needs model.depths and model.widths of the same length');
    }
    return backboneOfArchitecture(architecture, { depths, widths: channels });
  }
  if (!Object.hasOwn(backboneConfigs, architecture)) {
    throw new ConfigError(
      `"${architecture}" is unknown; use one of ${Object.keys(backboneConfigs).join(', ')}, or custom`,
    );
  }
  if (depths !== undefined || channels !== undefined) {
    throw new ConfigError(`"${architecture}" has its own depths and widths; leave them out, or use custom`);
  }
  return backboneConfigs[architecture]!;
}

/** All keys; made when first asked for. */
let keys: ReturnType<typeof keyTree> | undefined;
export function trainConfigKeys(): ReturnType<typeof keyTree> {
  keys ??= keyTree(trainConfigSchema);
  return keys;
}

/** What is wrong with a value, naming it; our own messages do so themselves. */
function explain(issue: z.core.$ZodIssue): string[] {
  const { code, input, message } = issue;
  if (code === 'custom') return [message];
  if (code === 'unrecognized_keys') return issue.keys.map((key) => unknownKey(trainConfigKeys(), issue.path, key));
  if (input === undefined) return [`is missing; ${message.replace(/^Invalid input: (.*), received undefined$/, '$1')}`];
  const verdict = `${message.charAt(0).toLowerCase()}${message.slice(1)}`;
  return [`${JSON.stringify(input)} is ${/^in/.test(verdict) ? 'an ' : ''}${verdict}`];
}

/** A key that was set beside the file: its path, and the flag that set it. */
export interface SetKey {
  readonly path: readonly string[];
  /** As it was given, such as `--set epochs=3`. */
  readonly flag: string;
}

/** The flag that a problem comes from: the last that set the key, a part of its value, or its group. */
function flagOf(issue: z.core.$ZodIssue, set: readonly SetKey[]): string | undefined {
  const paths = issue.code === 'unrecognized_keys' ? issue.keys.map((key) => [...issue.path, key]) : [issue.path];
  const within = (path: readonly PropertyKey[], whole: readonly string[]) =>
    whole.every((key, i) => path.length <= i || String(path[i]) === key);
  return set.findLast(({ path }) => path.length > 0 && paths.some((of) => within(of, path)))?.flag;
}

/**
 * Validates a configuration.
 * @param name of its file, for the error.
 * @param set what was set beside the file: a problem with it is said to be the flag's.
 * @throws ConfigError listing every problem.
 */
export function parseTrainConfig(raw: unknown, name: string, set: readonly SetKey[] = []): TrainConfig {
  const result = trainConfigSchema.safeParse(raw, { reportInput: true });
  if (result.success) return withDerivedDefaults(result.data);
  const problems = result.error.issues.map((issue) => ({ issue, flag: flagOf(issue, set) }));
  const flags = [...new Set(problems.map(({ flag }) => flag))];
  const ofFlags = flags.every((flag) => flag !== undefined);
  const lines = problems.flatMap(({ issue, flag }) => {
    const key = issue.path.join('.') || '(top level)';
    const from = flag === undefined || (ofFlags && flags.length === 1) ? '' : ` (${flag})`;
    return explain(issue).map((text) => `  ${key}: ${text}${from}`);
  });
  const beside = [...new Set(set.map(({ flag }) => flag))].join(' ');
  const what = ofFlags
    ? `${flags.join(' ')} does not fit ${name}`
    : `${name}${beside === '' ? '' : ` with ${beside}`} is not a valid training configuration`;
  throw new ConfigError(`${what}:\n${lines.join('\n')}`);
}
