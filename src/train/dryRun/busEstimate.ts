import { networkSpecs } from '../networkSpecs.js';
import { runState } from '../runState.js';
import { isMicroBatched, type StepConfig } from '../stepConfig.js';
import { floatBytes } from './memoryEstimate.js';

/** What a step moves between the host's memory and a GPU's, both ways together, in bytes. */
export interface BusBytes {
  /** Weights, running statistics, optimizer state, and gradients where they leave the GPU. */
  readonly state: number;
  /** Pixels and locations of the photographs. */
  readonly batch: number;
}

/**
 * onnxruntime-node takes every input of a run from the host's memory and returns every output to it (docs/training.md, What a GPU needs). As one
 * graph, a run of `stepsPerRun` steps takes the state and returns it. In micro-batches, each of a view's two passes takes the weights, and the
 * backward one takes and returns the gradients' sums; the update takes gradients and state, and returns the state.
 * @param batchBytes pixels and locations of a batch
 */
export function busBytes(config: StepConfig, batchBytes: number, stepsPerRun: number): BusBytes {
  const specs = networkSpecs(config);
  const state = floatBytes(runState(specs, config));
  if (!isMicroBatched(config)) return { state: (2 * state) / stepsPerRun, batch: batchBytes };
  const weights = floatBytes(specs.parameters);
  const passes = (config.batchSize / config.microBatch) * config.viewSizes.length;
  return { state: passes * 4 * weights + weights + 2 * state, batch: 2 * batchBytes };
}
