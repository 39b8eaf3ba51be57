import { add, mul, sub } from '../onnx/ops/elementwise.js';
import type { Optimizer } from '../optim/optimizer.js';
import type { Tensor } from '../tensor/tensor.js';
import { CheckpointError } from './checkpoint.js';
import { stepNames } from './stepConfig.js';

/** The slot of the averaged weights: a checkpoint holds them as `ema/<parameter>`. */
export const EMA_SLOT = 'ema';

/**
 * The optimizer, which also keeps an exponential moving average of the weights (Polyak and Juditsky, 1992): after every
 * update e <- e + (1 - decay) (p - e), starting at the initial weights. The average is for export alone; it does not
 * touch training.
 */
export function withEma(optimizer: Optimizer, decay: number): Optimizer {
  return {
    ...optimizer,
    slots: [...optimizer.slots, EMA_SLOT],
    slotsFromParameter: [...(optimizer.slotsFromParameter ?? []), EMA_SLOT],
    update(parameter, gradient, state, scalars) {
      const next = optimizer.update(parameter, gradient, state, scalars);
      // Not as decay e + (1 - decay) p: in float32 the two factors do not add up to 1, and the average of a constant would drift.
      const old = state[EMA_SLOT]!;
      const average = add(old, mul(sub(next.parameter, old), 1 - decay));
      return { parameter: next.parameter, state: { ...next.state, [EMA_SLOT]: average } };
    },
  };
}

/**
 * A checkpoint's tensors with the averaged weights in place of the last ones. Running statistics of BatchNorm stay: they
 * are moving averages already.
 * @throws CheckpointError for a checkpoint of a run that kept no average.
 */
export function averagedWeights(tensors: ReadonlyMap<string, Tensor>): ReadonlyMap<string, Tensor> {
  const averaged = new Map(tensors);
  let found = false;
  for (const name of tensors.keys()) {
    const average = tensors.get(stepNames.state(EMA_SLOT, name));
    if (average === undefined) continue;
    averaged.set(name, average);
    found = true;
  }
  if (!found) {
    throw new CheckpointError(
      'the checkpoint holds no averaged weights: the run had no optimizer.emaDecay; export --weights last, or train with it',
    );
  }
  return averaged;
}
