import type { LoaderOptions } from '../data/loaderOptions.js';
import type { ImageSource } from '../data/sources.js';
import type { ViewSpec } from '../data/view.js';
import { dropPathBlocks, mapCells } from '../nn/backbone.js';
import type { Provider } from '../onnx/graph.js';
import { adamw } from '../optim/adamw.js';
import { lars } from '../optim/lars.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { ScheduleConfig } from '../optim/schedule.js';
import { sgd } from '../optim/sgd.js';
import { policiesOf } from './augmentationSchema.js';
import { backboneOf, ConfigError, type TrainConfig } from './config.js';
import { withEma } from './ema.js';
import { intentWarnings } from './intent.js';
import { microBatchWarning } from './microBatch.js';
import { precisionProblem, precisionWarning } from './precision.js';
import { rateWarnings } from './rates.js';
import type { StepConfig } from './stepConfig.js';
import { unusedKeyWarnings } from './unusedKeys.js';

/** Derives the options of loader, step and schedule from a run's configuration. */

const optimizers: Readonly<Record<TrainConfig['optimizer']['kind'], (keys: TrainConfig['optimizer']) => Optimizer>> = {
  adamw,
  lars,
  sgd: ({ momentum, weightDecay }) => sgd({ momentum, weightDecay, decayVectors: false }),
};

function optimizerOf(keys: TrainConfig['optimizer']): Optimizer {
  const optimizer = optimizers[keys.kind](keys);
  return keys.emaDecay === undefined ? optimizer : withEma(optimizer, keys.emaDecay);
}

/**
 * The views of a photograph: two large ones, then the small ones. In each group even and odd views have their own
 * augmentations: in the paper's defaults even views are always blurred and never solarized, odd ones are blurred and
 * solarized with some probability (docs/method.md, Views).
 */
export function viewsOf({
  crops,
  model,
  augmentation,
}: Pick<TrainConfig, 'crops' | 'model' | 'augmentation'>): ViewSpec[] {
  const policies = policiesOf(augmentation);
  const backbone = backboneOf(model);
  const groups = [{ count: 2, size: crops.size, scale: crops.scale }, ...(crops.small ? [crops.small] : [])];
  return groups.flatMap(({ count, size, scale }) =>
    Array.from({ length: count }, (_, i) => ({
      size,
      cells: mapCells(backbone, size),
      scale,
      aspect: [3 / 4, 4 / 3] as const,
      augmentation: policies[(i % 2) as 0 | 1],
    })),
  );
}

/** @param classes of the online classifier; undefined without labels. */
export function stepConfigOf(config: TrainConfig, classes: number | undefined): StepConfig {
  const { model, loss, optimizer, batchSize } = config;
  const { invariance, variance, covariance, local, criterion, temperature, ...matching } = loss;
  const weights = { invariance, variance, covariance };
  const localWeights = {
    invariance: local?.invariance ?? invariance,
    variance: local?.variance ?? variance,
    covariance: local?.covariance ?? covariance,
  };
  const { alpha } = loss;
  const backbone = backboneOf(model);
  return {
    model: {
      backbone,
      ...(alpha > 0 && { expander: model.expander }),
      ...(alpha < 1 && { localProjector: model.localProjector }),
    },
    loss: {
      ...matching,
      weights,
      localWeights,
      ...(criterion === 'simclr' && { simclr: { temperature } }),
    },
    optimizer: optimizerOf(optimizer),
    ...(optimizer.clipNorm !== undefined && { clipNorm: optimizer.clipNorm }),
    batchSize,
    precision: config.precision,
    ...(config.microBatch !== undefined && { microBatch: config.microBatch }),
    syncBatchNorm: config.syncBatchNorm,
    viewSizes: viewsOf(config).map(({ size }) => size),
    pixels: 'uint8',
    dropPath: model.dropPath > 0 && dropPathBlocks(backbone) > 0,
    ...(classes !== undefined && { classes }),
  };
}

/** Batches that are prefetched as far as data.prefetchBytes goes; of a graph that takes several, those of its next run. */
const PREFETCH = 3;

/** @param ranks the processes that share each batch */
export function loaderOptionsOf(
  config: TrainConfig,
  source: ImageSource,
  ranks: { readonly rank: number; readonly size: number } = { rank: 0, size: 1 },
): LoaderOptions {
  const { data, batchSize, seed, crops } = config;
  return {
    source,
    views: viewsOf(config),
    batchSize,
    part: { index: ranks.rank, of: ranks.size },
    seed,
    workers: data.workers,
    prefetch: Math.max(PREFETCH, config.stepsPerRun),
    cacheBytes: data.cacheBytes,
    prefetchBytes: data.prefetchBytes,
    mirrorFlippedGrid: crops.mirrorFlippedGrid,
  };
}

/** Learning rate over the steps. @param stepsPerEpoch whole batches of the photographs. */
export function scheduleOf(config: TrainConfig, stepsPerEpoch: number): ScheduleConfig {
  return {
    baseLr: config.optimizer.baseLr,
    batchSize: config.batchSize,
    warmupSteps: Math.round(config.warmupEpochs * stepsPerEpoch),
    totalSteps: config.epochs === 0 ? 0 : Math.max(1, Math.round(config.epochs * stepsPerEpoch)),
    endLrRatio: config.endLrRatio,
  };
}

/** @throws ConfigError for a configuration that cannot run on a device. */
export function checkDevice({ precision }: TrainConfig, device: Provider): void {
  const problem = precisionProblem(precision, device);
  if (problem !== undefined) throw new ConfigError(problem);
}

/**
 * Warnings about a configuration that will hardly train, with numbers and what to set instead (rates.ts), that was hardly meant
 * (intent.ts, unusedKeys.ts), or is of no use on its device.
 * @param ranks the processes that share each batch
 */
export function configWarnings(config: TrainConfig, schedule: ScheduleConfig, device: Provider, ranks = 1): string[] {
  const ofMicroBatch = microBatchWarning(stepConfigOf(config, undefined), ranks);
  const ofPrecision = precisionWarning(config.precision, device);
  return [
    ...rateWarnings(config.optimizer.kind, config, schedule),
    ...intentWarnings(config),
    ...unusedKeyWarnings(config),
    ...(ofMicroBatch === undefined ? [] : [ofMicroBatch]),
    ...(ofPrecision === undefined ? [] : [ofPrecision]),
  ];
}
