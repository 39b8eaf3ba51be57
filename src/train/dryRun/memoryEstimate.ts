import { peakMemory } from '../../onnx/liveness.js';
import { elementCount } from '../../tensor/tensor.js';
import { buildBackward, buildEmbed, buildLoss, cachedInputs, type MicroConfig } from '../microGraphs.js';
import { networkSpecs } from '../networkSpecs.js';
import { runState } from '../runState.js';
import { isMicroBatched, type StepConfig } from '../stepConfig.js';
import { buildStep } from '../stepGraph.js';

/** What a training step takes, in bytes. */
export interface StepMemory {
  /**
   * Weights, running statistics and optimizer state, twice: one set is read while the other is written. In micro-batches
   * once, and the gradients.
   */
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
 * between the arena's pieces is not in it: it is a lower bound (docs/training.md compares it with measurements).
 */
export function stepMemory(config: StepConfig): StepMemory {
  const specs = networkSpecs(config);
  const state = floatBytes(runState(specs, config));
  if (isMicroBatched(config)) {
    const held = state + floatBytes(specs.parameters);
    return { state: held, graph: microBytes(config), program: PROGRAM_BYTES };
  }
  const { peakBytes, constantBytes } = peakMemory(buildStep(config).graph);
  return { state: 2 * state, graph: peakBytes + constantBytes, program: PROGRAM_BYTES };
}

/** Bytes of tensors of float32. */
export function floatBytes(values: readonly { readonly shape: readonly number[] }[]): number {
  return 4 * values.reduce((sum, { shape }) => sum + elementCount(shape), 0);
}

/** Memory of the graphs of a step in micro-batches, which run one by one, and of the cache between them with its gradients. */
function microBytes(config: MicroConfig): number {
  const sizes = [...new Set(config.viewSizes)];
  const loss = buildLoss(config).graph;
  const graphs = [loss, ...sizes.flatMap((size) => [buildEmbed(config, size), buildBackward(config, size)])];
  const each = graphs.map(peakMemory);
  const cache = 2 * floatBytes(cachedInputs(config, loss));
  return (
    Math.max(...each.map(({ peakBytes }) => peakBytes)) + sum(each.map(({ constantBytes }) => constantBytes)) + cache
  );
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0);
}
