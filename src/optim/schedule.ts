/** Learning rate of one optimizer step. */
export interface ScheduleConfig {
  /** Learning rate for a batch of 256. */
  readonly baseLr: number;
  readonly batchSize: number;
  readonly warmupSteps: number;
  readonly totalSteps: number;
  /** The last learning rate over the peak. */
  readonly endLrRatio: number;
}

/** The rate at the end of the warm-up: the base rate, which is for a batch of 256, in proportion to the batch. */
export function peakRate({ baseLr, batchSize }: Pick<ScheduleConfig, 'baseLr' | 'batchSize'>): number {
  return (baseLr * batchSize) / 256;
}

/**
 * Linear warm-up from 0 to baseLr * batch / 256 over the warm-up steps, then half a cosine down to endLrRatio of it,
 * where it stays (docs/method.md, Optimisation).
 * @param step counted from 0.
 */
export function learningRate(step: number, config: ScheduleConfig): number {
  const { warmupSteps, totalSteps, endLrRatio } = config;
  const peak = peakRate(config);
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const steps = totalSteps - warmupSteps;
  const progress = steps > 0 ? Math.min(1, (step - warmupSteps) / steps) : 1;
  const cosine = 0.5 * (1 + Math.cos(Math.PI * progress));
  return peak * (cosine + endLrRatio * (1 - cosine));
}
