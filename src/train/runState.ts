import type { ParameterSpec } from '../nn/parameters.js';
import { type StateSpec, stateSpecs } from '../optim/state.js';
import { lossScaleSpecs } from './lossScale.js';
import type { StepConfig } from './stepConfig.js';

/** Everything that a step takes from the one before it, and that a checkpoint holds: the network, the optimizer's state, the loss's scale. */
export function runState(
  network: { readonly parameters: readonly ParameterSpec[]; readonly buffers: readonly ParameterSpec[] },
  config: Pick<StepConfig, 'optimizer' | 'precision'>,
): StateSpec[] {
  return [...stateSpecs(network, config), ...lossScaleSpecs(config)];
}
