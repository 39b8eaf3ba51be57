import { peakRate, type ScheduleConfig } from '../optim/schedule.js';

/** Learning rates that are known to work, and the comparison with a run's rate (docs/training.md, Learning rates). */

export type OptimizerKind = 'adamw' | 'lars' | 'sgd';

interface KnownRate {
  /** A base rate that works, and the batch that it works for. */
  readonly baseLr: number;
  readonly batchSize: number;
  /** Largest base rate, for small batches. */
  readonly maxBaseLr?: number;
}

/**
 * adamw: the authors' ConvNeXt-S. lars: the authors' rates for VICReg with a ResNet-50 over 100 epochs are 0.8 at a batch
 * of 128, 0.5 at 256, 0.4 at 512 and 0.3 from 1024 on; under 128 nothing larger is known. sgd: ours.
 */
const KNOWN: Readonly<Record<OptimizerKind, KnownRate>> = {
  adamw: { baseLr: 0.00075, batchSize: 384 },
  lars: { baseLr: 0.4, batchSize: 512, maxBaseLr: 0.8 },
  sgd: { baseLr: 0.01, batchSize: 256 },
};

/** Weight decay of the paper's recipes; of PyTorch's ImageNet example for sgd. */
export const WEIGHT_DECAY: Readonly<Record<OptimizerKind, number>> = { adamw: 0.05, lars: 1e-6, sgd: 1e-4 };

/**
 * The base rate (for a batch of 256) where a configuration gives none. The peak rate is baseLr x batch / 256. Rates
 * that work grow with the square root of the batch: the authors' rates for LARS do, and so does theory for Adam (Malladi et
 * al., arXiv 2205.10287). So the base rate falls with the square root. Three significant digits.
 */
export function usualBaseLr(kind: OptimizerKind, batchSize: number): number {
  const known = KNOWN[kind];
  const scaled = known.baseLr * Math.sqrt(known.batchSize / batchSize);
  return Number(Math.min(known.maxBaseLr ?? Number.POSITIVE_INFINITY, scaled).toPrecision(3));
}

/** Epochs of warm-up where a configuration gives none: the authors' 10, and at most a tenth of the run. */
export function usualWarmupEpochs(epochs: number): number {
  return Number(Math.min(10, epochs / 10).toPrecision(3));
}

/** A rate that is this many times smaller or larger than the usual one gets a warning. */
const LOW = 5;
const HIGH = 25;
/** A warm-up that takes a larger share of the run gets a warning. */
const MAX_WARMUP = 0.5;

const number = (value: number) => String(Number(value.toPrecision(3)));

/** Warnings about learning rates that will hardly train, with numbers and what to set instead. */
export function rateWarnings(
  kind: OptimizerKind,
  { warmupEpochs, epochs }: { readonly warmupEpochs: number; readonly epochs: number },
  schedule: ScheduleConfig,
): string[] {
  const { baseLr, batchSize, warmupSteps, totalSteps } = schedule;
  const usual = usualBaseLr(kind, batchSize);
  const [peak, usualPeak] = [peakRate(schedule), peakRate({ baseLr: usual, batchSize })];
  const warnings: string[] = [];
  if (peak * LOW < usualPeak || peak > usualPeak * HIGH) {
    warnings.push(
      `the peak learning rate is ${number(peak)} (optimizer.baseLr ${baseLr} x batchSize ${batchSize} / 256), ` +
        `${peak < usualPeak ? `${number(usualPeak / peak)} times smaller` : `${number(peak / usualPeak)} times larger`} ` +
        `than is usual for ${kind} with this batch (${number(usualPeak)}): the network may ` +
        `${peak < usualPeak ? 'hardly learn' : 'diverge'}. Usual: --set optimizer.baseLr=${usual}`,
    );
  }
  if (warmupSteps > MAX_WARMUP * totalSteps) {
    const reached = warmupSteps >= totalSteps ? 'is never reached' : `is reached only in step ${warmupSteps + 1}`;
    const usualWarmup = usualWarmupEpochs(epochs);
    warnings.push(
      `the warm-up takes ${warmupSteps} of ${totalSteps} steps (warmupEpochs ${warmupEpochs} of epochs ${epochs}): the ` +
        `learning rate rises from 0 for so long, and its peak of ${number(peak)} ${reached}. ` +
        `Usual: --set warmupEpochs=${usualWarmup}`,
    );
  }
  return warnings;
}
