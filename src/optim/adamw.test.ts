import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { type AdamWConfig, adamw } from './adamw.js';

const config: AdamWConfig = { beta1: 0.8, beta2: 0.95, epsilon: 1e-3, weightDecay: 0.1 };
const optimizer = adamw(config);
const rates = [0, 0.1, 0.05, 0.2, 0.01];

/** The paper's algorithm (Loshchilov and Hutter, algorithm 2), element by element. */
function reference(start: readonly number[], gradients: readonly (readonly number[])[], decay: number) {
  const p = [...start];
  const [m, v] = [p.map(() => 0), p.map(() => 0)];
  gradients.forEach((gradient, step) => {
    p.forEach((value, i) => {
      m[i] = config.beta1 * m[i]! + (1 - config.beta1) * gradient[i]!;
      v[i] = config.beta2 * v[i]! + (1 - config.beta2) * gradient[i]! ** 2;
      const mHat = m[i]! / (1 - config.beta1 ** (step + 1));
      const vHat = v[i]! / (1 - config.beta2 ** (step + 1));
      p[i] = value - rates[step]! * (mHat / (Math.sqrt(vHat) + config.epsilon) + decay * value);
    });
  });
  return { p, m, v };
}

describe('adamw', () => {
  for (const [what, shape, decay] of [
    ['a matrix decays', [2, 3], config.weightDecay],
    ['a vector does not decay', [6], 0],
  ] as const) {
    it(`${what}, over five steps as in the paper`, async () => {
      const start = normals([6], 1);
      const gradients = rates.map((_, step) => normals([6], 10 + step).map((value) => value * 10 ** (step - 2)));
      let state = { p: start, m: start.map(() => 0), v: start.map(() => 0) };
      for (const [step, rate] of rates.entries()) {
        const next = await evaluate((feed) => {
          const [p, gradient, m, v] = [state.p, gradients[step]!, state.m, state.v].map((x) => feed(doubles(shape, x)));
          const scalars = Object.fromEntries(
            Object.entries(optimizer.scalarValues(step, rate)).map(([name, value]) => [
              name,
              feed(doubles([], [value])),
            ]),
          );
          const updated = optimizer.update(p!, gradient!, { exp_avg: m!, exp_avg_sq: v! }, scalars);
          return { p: updated.parameter, m: updated.state['exp_avg']!, v: updated.state['exp_avg_sq']! };
        });
        state = { p: numbers(next.p), m: numbers(next.m), v: numbers(next.v) };
      }
      const expected = reference(start, gradients, decay);
      for (const name of ['p', 'm', 'v'] as const) {
        assert.ok(relativeError(state[name], expected[name]) < 1e-12, name);
      }
    });
  }

  it('feeds the learning rate and the bias corrections of the step, which counts from 0', () => {
    const near = (actual: number, expected: number) => assert.ok(Math.abs(actual - expected) < 1e-12, `${actual}`);
    for (const [step, first, second] of [
      [0, 0.2, 0.05],
      [3, 1 - 0.4096, 1 - 0.81450625], // 0.8^4 and 0.95^4
    ] as const) {
      const { learning_rate, bias_correction1, bias_correction2, ...others } = optimizer.scalarValues(step, 0.3);
      assert.equal(learning_rate, 0.3);
      near(bias_correction1!, first);
      near(bias_correction2!, second);
      assert.deepEqual(others, {});
    }
    assert.deepEqual(optimizer.scalars, ['learning_rate', 'bias_correction1', 'bias_correction2']);
  });
});
