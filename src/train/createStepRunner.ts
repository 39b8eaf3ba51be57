import { createFusedRunner } from './fusedRunner.js';
import { createMicroRunner } from './microRunner.js';
import { isMicroBatched, passSize, type StepConfig } from './stepConfig.js';
import type { RunnerOptions, StepRunner } from './stepRunner.js';

/**
 * The runner of a configuration: one graph for the whole batch, or passes of `microBatch` photographs; with several ranks always
 * passes (`passSize`), by default of all of a rank's photographs.
 * @param stepsPerRun of the one graph (see createFusedRunner); passes take one step at a time.
 */
export function createStepRunner(config: StepConfig, options: RunnerOptions, stepsPerRun = 1): Promise<StepRunner> {
  const ranks = options.collectives?.size ?? 1;
  if (ranks > 1) return createMicroRunner({ ...config, microBatch: passSize(config, ranks) }, options);
  return isMicroBatched(config) ? createMicroRunner(config, options) : createFusedRunner(config, options, stepsPerRun);
}
