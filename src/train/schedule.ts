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

/**
 * Linear warm-up from 0 to baseLr * batch / 256 over the warm-up steps, then half a cosine down to endLrRatio of it,
 * where it stays (docs/method.md, Optimisation).
 * @param step counted from 0.
 */
export function learningRate(step: number, config: ScheduleConfig): number {
  const { baseLr, batchSize, warmupSteps, totalSteps, endLrRatio } = config;
  const peak = (baseLr * batchSize) / 256;
  if (step < warmupSteps) return (peak * step) / warmupSteps;
  const progress = Math.min(1, (step - warmupSteps) / (totalSteps - warmupSteps));
  const cosine = 0.5 * (1 + Math.cos(Math.PI * progress));
  return peak * (cosine + endLrRatio * (1 - cosine));
}
