import { add, mul, sub } from '../onnx/ops/elementwise.js';
import type { Optimizer } from './optimizer.js';

/** Stochastic gradient descent with momentum as graph nodes, with PyTorch's semantics (no dampening, no Nesterov). */

export interface SgdConfig {
  readonly momentum: number;
  /** L2 penalty: decay x parameter is added to the gradient. */
  readonly weightDecay: number;
  /** Whether parameters of one dimension (biases, norms) decay too, as PyTorch's SGD has it. */
  readonly decayVectors: boolean;
}

/**
 * One update: g' = g + wd p; mu <- momentum mu + g'; p <- p - lr mu. The velocity starts at 0, so that the first step
 * uses g' itself.
 */
export function sgd({ momentum, weightDecay, decayVectors }: SgdConfig): Optimizer {
  return {
    slots: ['momentum'],
    scalars: ['learning_rate'],
    scalarValues: (_, learningRate) => ({ learning_rate: learningRate }),
    update(parameter, gradient, { momentum: velocity }, scalars) {
      const decays = weightDecay > 0 && (decayVectors || parameter.shape.length > 1);
      const decayed = decays ? add(gradient, mul(parameter, weightDecay)) : gradient;
      const next = add(mul(velocity!, momentum), decayed);
      return { parameter: sub(parameter, mul(next, scalars['learning_rate']!)), state: { momentum: next } };
    },
  };
}
