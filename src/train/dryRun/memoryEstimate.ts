import { peakMemory } from '../../onnx/liveness.js';
import { elementCount } from '../../tensor/tensor.js';
import { networkSpecs } from '../networkSpecs.js';
import type { StepConfig } from '../stepConfig.js';
import { buildStep } from '../stepGraph.js';
import { stateSpecs } from '../stepRunner.js';

/** What a training step takes, in bytes. */
export interface StepMemory {
  /** Weights, running statistics and optimizer state, twice: one set is read while the other is written. */
  readonly state: number;
  /** Activations, gradients and constants at the moment when most of them are needed. */
  readonly graph: number;
  /** Node and ONNX Runtime themselves. */
  readonly program: number;
}

/** Resident memory of a process that has loaded everything and trained on a single small photograph. */
const PROGRAM_BYTES = 250 * 2 ** 20;

/**
 * Estimates the memory of a step from its graph's static shapes. What kernels take for themselves and what lies unused
 * between the arena's pieces is not in it: it is a lower bound (docs/training.md has it beside measurements).
 */
export function stepMemory(config: StepConfig): StepMemory {
  const { peakBytes, constantBytes } = peakMemory(buildStep(config).graph);
  const specs = stateSpecs(networkSpecs(config), config);
  const state = 2 * 4 * specs.reduce((sum, { shape }) => sum + elementCount(shape), 0);
  return { state, graph: peakBytes + constantBytes, program: PROGRAM_BYTES };
}
