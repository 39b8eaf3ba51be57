import { add, div, mul, sqrt, sub } from '../onnx/ops/elementwise.js';
import type { Optimizer } from './optimizer.js';

/** AdamW (Loshchilov and Hutter, arXiv 1711.05101) as graph nodes, with PyTorch's order of operations. */

export interface AdamWConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay of parameters with more than one dimension. */
  readonly weightDecay: number;
}

/**
 * One update: p <- p (1 - lr wd) - lr / c1 * m / (sqrt(v) / sqrt(c2) + eps), with m and v the moving means of the
 * gradient and its square. The bias corrections are computed in float64, where beta^t is exact enough.
 */
export function adamw({ beta1, beta2, epsilon, weightDecay }: AdamWConfig): Optimizer {
  return {
    slots: ['exp_avg', 'exp_avg_sq'],
    scalars: ['learning_rate', 'bias_correction1', 'bias_correction2'],
    scalarValues: (step, learningRate) => ({
      learning_rate: learningRate,
      bias_correction1: 1 - beta1 ** (step + 1),
      bias_correction2: 1 - beta2 ** (step + 1),
    }),
    update(parameter, gradient, { exp_avg: oldMean, exp_avg_sq: oldSquare }, scalars) {
      const rate = scalars['learning_rate']!;
      const mean = add(mul(oldMean!, beta1), mul(gradient, 1 - beta1));
      const square = add(mul(oldSquare!, beta2), mul(mul(gradient, gradient), 1 - beta2));
      const decays = weightDecay > 0 && parameter.shape.length > 1;
      const decayed = decays ? mul(parameter, sub(1, mul(rate, weightDecay))) : parameter;
      const denominator = add(div(sqrt(square), sqrt(scalars['bias_correction2']!)), epsilon);
      const change = div(mul(div(rate, scalars['bias_correction1']!), mean), denominator);
      return { parameter: sub(decayed, change), state: { exp_avg: mean, exp_avg_sq: square } };
    },
  };
}
