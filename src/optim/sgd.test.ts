import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { type SgdConfig, sgd } from './sgd.js';

const rates = [0.5, 0.1, 0.2, 0.05];

/** PyTorch's documentation of torch.optim.SGD, element by element: the first step takes the gradient as velocity. */
function reference(start: readonly number[], gradients: readonly (readonly number[])[], config: SgdConfig, wd: number) {
  const p = [...start];
  let velocity: number[] | undefined;
  gradients.forEach((gradient, step) => {
    const g = gradient.map((value, i) => value + wd * p[i]!);
    velocity = velocity === undefined ? g : velocity.map((value, i) => config.momentum * value + g[i]!);
    velocity.forEach((value, i) => {
      p[i]! -= rates[step]! * value;
    });
  });
  return { p, velocity: velocity! };
}

async function run(
  config: SgdConfig,
  shape: readonly number[],
  start: readonly number[],
  parameterGradients: readonly number[][],
) {
  const optimizer = sgd(config);
  let state = { p: [...start], velocity: start.map(() => 0) };
  for (const [step, rate] of rates.entries()) {
    const next = await evaluate((feed) => {
      const [p, gradient, velocity] = [state.p, parameterGradients[step]!, state.velocity].map((x) =>
        feed(doubles(shape, x)),
      );
      const scalars = { learning_rate: feed(doubles([], [rate])) };
      const updated = optimizer.update(p!, gradient!, { momentum: velocity! }, scalars);
      return { p: updated.parameter, velocity: updated.state['momentum']! };
    });
    state = { p: numbers(next.p), velocity: numbers(next.velocity) };
  }
  return state;
}

describe('sgd', () => {
  const start = normals([6], 1);
  const parameterGradients = rates.map((_, step) => normals([6], 10 + step));
  const config = { momentum: 0.8, weightDecay: 0.1, decayVectors: true };
  for (const [what, shape, changes, decay] of [
    ['a matrix decays', [2, 3], {}, 0.1],
    ['a vector decays, as in PyTorch', [6], {}, 0.1],
    ['a vector may be spared', [6], { decayVectors: false }, 0],
    ['a matrix decays where vectors are spared', [2, 3], { decayVectors: false }, 0.1],
    ['momentum 0 is plain descent', [2, 3], { momentum: 0, weightDecay: 0 }, 0],
  ] as const) {
    it(`${what}, over four steps`, async () => {
      const used = { ...config, ...changes };
      const [actual, expected] = [
        await run(used, shape, start, parameterGradients),
        reference(start, parameterGradients, used, decay),
      ];
      assert.ok(relativeError(actual.p, expected.p) < 1e-12);
      assert.ok(relativeError(actual.velocity, expected.velocity) < 1e-12);
    });
  }
});
