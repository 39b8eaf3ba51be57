import { join } from 'node:path';
import { epochs } from '../../data/epochs.js';
import { resolveLoaderOptions } from '../../data/loaderOptions.js';
import { type ImageSource, openImageSource } from '../../data/sources.js';
import { makeFolder, writeOutputFile } from '../../files/output.js';
import { svgToPng } from '../../image/svg.js';
import { learningRate } from '../../optim/schedule.js';
import { elementCount } from '../../tensor/tensor.js';
import type { TrainConfig } from '../config.js';
import { drawComparison } from '../curves.js';
import { modelFlops } from '../flops.js';
import { type InitialWeights, type InitialWeightsOptions, readInitialWeights } from '../initialWeights.js';
import { networkSpecs } from '../networkSpecs.js';
import { checkDevice, configWarnings, loaderOptionsOf, scheduleOf, stepConfigOf } from '../plan.js';
import { openProbeData } from '../probe/probeData.js';
import { isMicroBatched } from '../stepConfig.js';
import { type BusBytes, busBytes } from './busEstimate.js';
import { drawCrops } from './drawCrops.js';
import { type MachineMemory, machineMemory } from './machineMemory.js';
import { memoryWarnings, type RunMemory } from './memoryAdvice.js';
import { stepMemory } from './memoryEstimate.js';
import { sampleCrops } from './sampleCrops.js';

/** Facts about a run, computed without training. */
export interface DryRunReport {
  readonly photographs: number;
  readonly classes?: number;
  /** Numbers of weights; a part that the loss does not need is absent. */
  readonly parameters: Readonly<Record<'backbone' | 'expander' | 'localProjector' | 'classifier', number | undefined>>;
  /** FLOPs of the forward pass of one photograph over all its views (see flops.ts). */
  readonly forwardFlops: number;
  /** The same of the training step: three times as many, since each product has two gradients. */
  readonly stepFlops: number;
  /** In bytes. batches: those of a run of the graph and those that the loader has ready; cache: maximum size of decoded photographs. */
  readonly memory: RunMemory;
  /** Bytes of a step between the host and the GPU; absent on the CPU. */
  readonly bus?: BusBytes;
  readonly stepsPerEpoch: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
  /** At the first step, the end of the warm-up, the middle and the last step, counted from 1. */
  readonly learningRates: readonly { readonly step: number; readonly lr: number }[];
  /** Which of the given weights the run would take, and which not. */
  readonly init?: InitialWeights;
  /** Warnings, with numbers and what to set instead. */
  readonly warnings: readonly string[];
}

export interface DryRunOptions {
  /** The run's device. With CUDA the memory is not compared, since the GPU's is not known. Default cpu. */
  readonly device?: 'cpu' | 'cuda';
  /** Weights that the run would start from. */
  readonly init?: InitialWeightsOptions;
  /** Memory that the run may take; this machine's by default. */
  readonly memory?: MachineMemory;
}

/** Photographs in the picture, two views each. */
const PICTURED = 4;
/** Points of the learning rate's curve. */
const CURVE_POINTS = 400;

const PREFIXES = {
  backbone: 'backbone.',
  expander: 'projector.',
  localProjector: 'maps_projector.',
  classifier: 'classifier.',
} as const;

/**
 * Checks everything that training would check before its first step, and reports facts about the run.
 * @param folder gets crops.png, learning-rate.svg and learning-rate.png.
 * @throws ConfigError, DataError and ImageError as training would.
 */
export async function dryRun(config: TrainConfig, folder: string, options: DryRunOptions = {}): Promise<DryRunReport> {
  checkDevice(config, options.device ?? 'cpu');
  const source = await openImageSource(config.data.source, { labels: config.data.labels, given: 'data.source' });
  try {
    return await dryRunOn(source, config, folder, options);
  } finally {
    await source.close();
  }
}

async function dryRunOn(
  source: ImageSource,
  config: TrainConfig,
  folder: string,
  { device = 'cpu', init: asked, memory: available }: DryRunOptions,
): Promise<DryRunReport> {
  const stepConfig = stepConfigOf(config, source.labelled?.classes.length);
  const init = asked && (await readInitialWeights(asked, stepConfig));
  if (config.probe) await (await openProbeData(config, config.probe, source)).close();
  const { samples } = resolveLoaderOptions(loaderOptionsOf(config, source));
  const { stepsPerEpoch } = epochs(source.count, config.batchSize, config.seed);
  const schedule = scheduleOf(config, stepsPerEpoch);
  const { totalSteps, warmupSteps } = schedule;

  const { parameters } = networkSpecs(stepConfig);
  const count = (prefix: string) => {
    const own = parameters.filter(({ name }) => name.startsWith(prefix));
    return own.length === 0 ? undefined : own.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  };
  const photographBytes = samples.views.reduce((sum, { size, cells }) => sum + 3 * size ** 2 + 8 * cells ** 2, 0);
  /** Several steps of a run have their batches twice: one by one, and stacked as the graph takes them. */
  const batchesOf = (stepsPerRun: number): number => {
    const { prefetch } = resolveLoaderOptions(loaderOptionsOf({ ...config, stepsPerRun }, source));
    return (prefetch + (stepsPerRun === 1 ? 1 : 2 * stepsPerRun)) * config.batchSize * photographBytes;
  };
  const forwardFlops = modelFlops(stepConfig.model, stepConfig.viewSizes);

  await makeFolder(folder);
  const pictured = await sampleCrops(config, source, PICTURED);
  await writeOutputFile('--out', join(folder, 'crops.png'), await drawCrops(pictured));
  const stride = Math.max(1, Math.floor(totalSteps / CURVE_POINTS));
  const points = [];
  for (let step = 0; step < totalSteps; step += stride) {
    points.push({ step: step + 1, means: { 'learning rate': learningRate(step, schedule) } });
  }
  const curve = await drawComparison([{ name: config.name, points }], ['learning rate']);
  await writeOutputFile('--out', join(folder, 'learning-rate.svg'), curve);
  await writeOutputFile('--out', join(folder, 'learning-rate.png'), await svgToPng(curve, 2));

  const memory: RunMemory = {
    ...stepMemory(stepConfig),
    batches: batchesOf(config.stepsPerRun),
    cache: config.data.cacheBytes,
  };
  const single = config.stepsPerRun === 1 ? undefined : batchesOf(1);
  const ofMemory =
    device === 'cpu' ? memoryWarnings(stepConfig, memory, available ?? (await machineMemory()), single) : [];

  const shownSteps = [...new Set([1, warmupSteps + 1, Math.ceil((warmupSteps + totalSteps) / 2), totalSteps])];
  return {
    photographs: source.count,
    ...(source.labelled && { classes: source.labelled.classes.length }),
    parameters: {
      backbone: count(PREFIXES.backbone),
      expander: count(PREFIXES.expander),
      localProjector: count(PREFIXES.localProjector),
      classifier: count(PREFIXES.classifier),
    },
    forwardFlops,
    // Gradients are two passes; of micro-batches there are two forward ones.
    stepFlops: (isMicroBatched(stepConfig) ? 4 : 3) * forwardFlops,
    memory,
    ...(device === 'cuda' && { bus: busBytes(stepConfig, config.batchSize * photographBytes, config.stepsPerRun) }),
    stepsPerEpoch,
    warmupSteps,
    totalSteps,
    learningRates: shownSteps
      .filter((step) => step >= 1 && step <= totalSteps)
      .map((step) => ({ step, lr: learningRate(step - 1, schedule) })),
    ...(init && { init }),
    warnings: [...configWarnings(config, schedule, device), ...ofMemory],
  };
}
