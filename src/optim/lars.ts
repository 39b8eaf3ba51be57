import type { Value } from '../onnx/graph.js';
import { add, cast, div, greater, mul, sqrt, sub, where } from '../onnx/ops/elementwise.js';
import { sumOfSquares } from '../onnx/ops/reduce.js';
import type { Optimizer } from './optimizer.js';

/** LARS (You et al., arXiv 1708.03888) as graph nodes; the authors' variant (docs/method.md). */

export interface LarsConfig {
  /** Trust coefficient. */
  readonly eta: number;
  readonly momentum: number;
  /** Decay of parameters with more than one dimension; it enters the adaptation. */
  readonly weightDecay: number;
}

function norm(x: Value): Value {
  return sqrt(sumOfSquares(x));
}

/** eta |p| / |g| where both norms are positive, else 1. */
function trustRatio(parameter: Value, gradient: Value, eta: number): Value {
  const { graph } = parameter;
  const [size, gradientNorm] = [norm(parameter), norm(gradient)];
  const both = mul(cast(greater(size, 0), parameter.dtype), cast(greater(gradientNorm, 0), parameter.dtype));
  const one = graph.scalar(1, parameter.dtype);
  const usable = greater(both, 0);
  return where(usable, div(mul(size, eta), where(usable, gradientNorm, one)), one);
}

/**
 * One update: g' = g + wd p; q = eta |p| / |g'|; mu <- momentum mu + q g'; p <- p - lr mu. Parameters of one dimension
 * (biases, norms) get neither decay nor adaptation.
 */
export function lars({ eta, momentum, weightDecay }: LarsConfig): Optimizer {
  return {
    slots: ['momentum'],
    scalars: ['learning_rate'],
    scalarValues: (_, learningRate) => ({ learning_rate: learningRate }),
    update(parameter, gradient, { momentum: velocity }, scalars) {
      const adapts = parameter.shape.length > 1;
      const decayed = adapts && weightDecay > 0 ? add(gradient, mul(parameter, weightDecay)) : gradient;
      const scaled = adapts ? mul(decayed, trustRatio(parameter, decayed, eta)) : decayed;
      const next = add(mul(velocity!, momentum), scaled);
      return { parameter: sub(parameter, mul(next, scalars['learning_rate']!)), state: { momentum: next } };
    },
  };
}
