import { add, mul } from '../onnx/ops/elementwise.js';
import type { Optimizer } from './optimizer.js';

/** The slot of the averaged weights: a checkpoint holds them as `ema/<parameter>`. */
export const EMA_SLOT = 'ema';

/**
 * The optimizer, which also keeps an exponential moving average of the weights (Polyak and Juditsky, 1992): after every
 * update e <- decay e + (1 - decay) p, starting at the initial weights. The average is for export alone; it does not
 * touch training.
 */
export function withEma(optimizer: Optimizer, decay: number): Optimizer {
  return {
    ...optimizer,
    slots: [...optimizer.slots, EMA_SLOT],
    slotsFromParameter: [...(optimizer.slotsFromParameter ?? []), EMA_SLOT],
    update(parameter, gradient, state, scalars) {
      const next = optimizer.update(parameter, gradient, state, scalars);
      const average = add(mul(state[EMA_SLOT]!, decay), mul(next.parameter, 1 - decay));
      return { parameter: next.parameter, state: { ...next.state, [EMA_SLOT]: average } };
    },
  };
}
