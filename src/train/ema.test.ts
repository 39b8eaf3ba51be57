import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { doubles, evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { sgd } from '../optim/sgd.js';
import { averagedWeights, withEma } from './ema.js';

describe('withEma', () => {
  it('averages the weights after each update, and does not change the update', async () => {
    const [decay, rate, shape] = [0.9, 0.1, [2, 3]];
    const plain = sgd({ momentum: 0.5, weightDecay: 0.1, decayVectors: true });
    const averaged = withEma(plain, decay);
    assert.deepEqual(averaged.slots, ['momentum', 'ema']);
    assert.deepEqual(averaged.slotsFromParameter, ['ema']);
    const start = normals(shape, 1);
    let state = { p: start, momentum: start.map(() => 0), ema: start };
    let expected = [...start];
    for (let step = 0; step < 4; step++) {
      const next = await evaluate((feed) => {
        const [p, gradient, momentum, ema] = [state.p, normals(shape, 10 + step), state.momentum, state.ema].map((x) =>
          feed(doubles(shape, x)),
        );
        const scalars = { learning_rate: feed(doubles([], [rate])) };
        const updated = averaged.update(p!, gradient!, { momentum: momentum!, ema: ema! }, scalars);
        const alone = plain.update(p!, gradient!, { momentum: momentum! }, scalars);
        return {
          p: updated.parameter,
          momentum: updated.state['momentum']!,
          ema: updated.state['ema']!,
          alone: alone.parameter,
        };
      });
      assert.deepEqual(numbers(next.p), numbers(next.alone));
      expected = expected.map((value, i) => decay * value + (1 - decay) * numbers(next.p)[i]!);
      state = { p: numbers(next.p), momentum: numbers(next.momentum), ema: numbers(next.ema) };
      assert.ok(relativeError(state.ema, expected) < 1e-14);
    }
  });

  it('keeps the average of weights that do not change, in float32', async () => {
    const still = sgd({ momentum: 0, weightDecay: 0, decayVectors: false });
    const values = [0.7, 0.0213, -3.3];
    for (const decay of [0.9999, 0.999999]) {
      const { ema } = await evaluate((feed) => {
        const [p, zero] = [feed(floats([3], values)), feed(floats([3], [0, 0, 0]))];
        const scalars = { learning_rate: feed(floats([], [0])) };
        let state = { momentum: zero, ema: p };
        for (let step = 0; step < 200; step++) {
          const updated = withEma(still, decay).update(p, zero, state, scalars);
          state = { momentum: zero, ema: updated.state['ema']! };
        }
        return { ema: state.ema };
      });
      assert.deepEqual(numbers(ema), values.map(Math.fround));
    }
  });
});

describe('averagedWeights', () => {
  it('replaces the weights by their averages, but not running statistics', () => {
    const tensors = new Map(
      ['a.weight', 'ema/a.weight', 'momentum/a.weight', 'a.running_mean'].map((name, i) => [name, floats([1], [i])]),
    );
    const averaged = averagedWeights(tensors);
    assert.deepEqual([...averaged.get('a.weight')!.data], [1]);
    assert.deepEqual([...averaged.get('a.running_mean')!.data], [3]);
  });

  it('fails for a run without averages, and says how to get them', () => {
    assert.throws(() => averagedWeights(new Map([['a.weight', floats([1], [0])]])), {
      name: 'CheckpointError',
      message: /optimizer\.emaDecay; export --weights last/,
    });
  });
});
