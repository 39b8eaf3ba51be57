import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { lars } from './lars.js';

const config = { eta: 0.02, momentum: 0.8, weightDecay: 0.1 };
const optimizer = lars(config);
const rates = [0.5, 0.1, 0.2];
const norm = (values: readonly number[]) => Math.hypot(...values);

/** docs/method.md, Optimisation, element by element. */
function reference(start: readonly number[], gradients: readonly (readonly number[])[], adapts: boolean) {
  let p = [...start];
  let mu = p.map(() => 0);
  gradients.forEach((gradient, step) => {
    const g = gradient.map((value, i) => value + (adapts ? config.weightDecay * p[i]! : 0));
    const q = adapts && norm(p) > 0 && norm(g) > 0 ? (config.eta * norm(p)) / norm(g) : 1;
    mu = mu.map((value, i) => config.momentum * value + q * g[i]!);
    p = p.map((value, i) => value - rates[step]! * mu[i]!);
  });
  return { p, mu };
}

describe('lars', () => {
  const start = normals([6], 1);
  const gradients = rates.map((_, step) => normals([6], 10 + step));
  const zero = start.map(() => 0);
  for (const [what, shape, from, parameterGradients] of [
    ['adapts and decays a matrix', [2, 3], start, gradients],
    ['takes a vector as it is', [6], start, gradients],
    ['does not adapt a matrix of zeros', [2, 3], zero, gradients],
    ['leaves a matrix of zeros without a gradient alone', [2, 3], zero, gradients.map(() => zero)],
  ] as const) {
    it(`${what}, over three steps`, async () => {
      let state = { p: [...from], mu: [...zero] };
      for (const [step, rate] of rates.entries()) {
        const next = await evaluate((feed) => {
          const [p, gradient, mu] = [state.p, parameterGradients[step]!, state.mu].map((values) =>
            feed(doubles(shape, values)),
          );
          const scalars = { learning_rate: feed(doubles([], [rate])) };
          const updated = optimizer.update(p!, gradient!, { momentum: mu! }, scalars);
          return { p: updated.parameter, mu: updated.state['momentum']! };
        });
        state = { p: numbers(next.p), mu: numbers(next.mu) };
      }
      const expected = reference(from, parameterGradients, shape.length > 1);
      for (const name of ['p', 'mu'] as const) {
        if (norm(expected[name]) === 0) assert.deepEqual(state[name], zero);
        else assert.ok(relativeError(state[name], expected[name]) < 1e-12, name);
      }
    });
  }
});
