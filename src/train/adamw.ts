import type { Graph, Value } from '../onnx/graph.js';
import { add, div, mul, sqrt, sub } from '../onnx/ops/elementwise.js';

/** AdamW (Loshchilov and Hutter, arXiv 1711.05101) as graph nodes, with PyTorch's order of operations. */

export interface AdamWConfig {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  /** Decoupled decay of parameters with more than one dimension. */
  readonly weightDecay: number;
}

/** Names of the state tensors that each parameter has, of its shape and starting at zero. */
export const ADAMW_STATE = ['exp_avg', 'exp_avg_sq'] as const;
export type AdamWState = Readonly<Record<(typeof ADAMW_STATE)[number], Value>>;

/** Scalars that change from step to step; graph inputs. */
export const ADAMW_SCALARS = ['learning_rate', 'bias_correction1', 'bias_correction2'] as const;
export type AdamWScalars = Readonly<Record<(typeof ADAMW_SCALARS)[number], Value>>;

/** Values of the scalars at a step counted from 0; computed in float64, where beta^t is exact enough. */
export function adamwScalars(
  step: number,
  learningRate: number,
  { beta1, beta2 }: AdamWConfig,
): Record<keyof AdamWScalars, number> {
  return {
    learning_rate: learningRate,
    bias_correction1: 1 - beta1 ** (step + 1),
    bias_correction2: 1 - beta2 ** (step + 1),
  };
}

/** Declares the scalars as graph inputs. */
export function adamwInputs(graph: Graph): AdamWScalars {
  const scalar = (name: string) => graph.input(name, 'float32', []);
  return {
    learning_rate: scalar('learning_rate'),
    bias_correction1: scalar('bias_correction1'),
    bias_correction2: scalar('bias_correction2'),
  };
}

/**
 * One update: p <- p (1 - lr wd) - lr / c1 * m / (sqrt(v) / sqrt(c2) + eps), with m and v the moving means of the
 * gradient and its square.
 */
export function adamwUpdate(
  parameter: Value,
  gradient: Value,
  state: AdamWState,
  scalars: AdamWScalars,
  config: AdamWConfig,
): { parameter: Value; state: AdamWState } {
  const { beta1, beta2, epsilon, weightDecay } = config;
  const { learning_rate: rate, bias_correction1: c1, bias_correction2: c2 } = scalars;
  const mean = add(mul(state.exp_avg, beta1), mul(gradient, 1 - beta1));
  const square = add(mul(state.exp_avg_sq, beta2), mul(mul(gradient, gradient), 1 - beta2));
  const decays = weightDecay > 0 && parameter.shape.length > 1;
  const decayed = decays ? mul(parameter, sub(1, mul(rate, weightDecay))) : parameter;
  const denominator = add(div(sqrt(square), sqrt(c2)), epsilon);
  const update = div(mul(div(rate, c1), mean), denominator);
  return { parameter: sub(decayed, update), state: { exp_avg: mean, exp_avg_sq: square } };
}
