import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats, relativeError } from '../../test/support/graphs.js';
import '../../test/support/sharedSessions.js';
import {
  batchOf,
  configs,
  copy,
  fullAdamw,
  multiCrop,
  near,
  norm,
  resNet,
  stepOf,
  takeStep,
  weightsOf,
  withRunner,
} from '../../test/support/trainingSteps.js';
import { ZEROS } from '../nn/layers.js';
import { lars } from '../optim/lars.js';
import { elementCount, rows } from '../tensor/tensor.js';
import { withEma } from './ema.js';
import type { StepBatch } from './stepRunner.js';
import { updateGroups } from './updateGraphs.js';

describe('a step in micro-batches', () => {
  for (const [name, config] of Object.entries(configs)) {
    it(`has the gradients and the log of the complete batch: ${name}`, async (context) => {
      const whole = await stepOf(config);
      const gradients = [...whole.state].filter(([key]) => key.startsWith('kept/'));
      const global = norm(gradients.map(([, { data }]) => norm(data as Float32Array)));
      for (const parts of [2, 4]) {
        const { terms, state } = await stepOf({ ...config, microBatch: config.batchSize / parts });
        for (const [term, value] of Object.entries(whole.terms)) {
          near(terms[term]!, value, 1e-5, term);
        }
        let worst = 0;
        for (const [key, { data: expected }] of gradients) {
          const actual = state.get(key)!.data as Float32Array;
          const difference = norm(actual.map((value, i) => value - Number(expected[i])));
          const tolerance = 1e-5 * norm(expected as Float32Array) + 1e-6 * global;
          worst = Math.max(worst, difference / tolerance);
          assert.ok(difference <= tolerance, `${parts} parts, ${key}: ${difference} over ${tolerance}`);
        }
        context.diagnostic(`${parts} micro-batches: at most ${worst.toFixed(2)} of the tolerance`);
      }
    });
  }

  it('gives the weights, their average and the state of the complete batch, clipped, over several steps', async () => {
    const optimizer = withEma(lars({ eta: 0.01, momentum: 0.9, weightDecay: 1e-3 }), 0.9);
    // The gradients' norm is some 80.
    const config = { ...multiCrop, optimizer, clipNorm: 2, classes: 3 };
    const after = (microBatch: number) =>
      withRunner({ ...config, microBatch }, async (runner) => {
        for (const step of [0, 1]) await takeStep(runner, step, 0.1, batchOf(config, step));
        return copy(runner.state());
      });
    const [whole, parts] = [await after(8), await after(2)];
    assert.deepEqual([...parts.keys()], [...whole.keys()]);
    const start = weightsOf(config);
    for (const [name, { data }] of whole) {
      const error = relativeError(parts.get(name)!.data, data);
      assert.ok(error < 2e-5, `${name}: ${error}`);
      if (start.has(name)) assert.notDeepEqual(data, start.get(name)!.data, `${name} was updated`);
    }
  });

  it('updates running statistics once for each part, as complete steps over the parts do', async () => {
    const batch = batchOf(resNet);
    const half = (start: number): StepBatch => ({
      views: batch.views.map((view) => rows(view, start, start + 4)),
      locations: batch.locations.map((grid) => rows(grid, start, start + 4)),
    });
    // The weights are constant, so that the statistics of two steps over the halves are those of one step in halves.
    const expected = await withRunner({ ...resNet, batchSize: 4 }, async (runner) => {
      for (const start of [0, 4]) await takeStep(runner, 0, 0, half(start));
      return copy(runner.state());
    });
    const { state } = await stepOf({ ...resNet, microBatch: 4 }, batch);
    const statistics = [...expected.keys()].filter((name) => /running_(mean|var)$/.test(name));
    assert.ok(statistics.length > 20);
    for (const name of statistics) {
      const error = relativeError(state.get(name)!.data, expected.get(name)!.data);
      assert.ok(error < 1e-5, `${name}: ${error}`);
    }
  });

  it('does not change any state if a term is not finite', async () => {
    const config = { ...resNet, microBatch: 4, optimizer: fullAdamw };
    const initial = weightsOf(config);
    const head = initial.get('projector.3.weight')!;
    initial.set('projector.3.weight', floats(head.shape, Array(elementCount(head.shape)).fill(1e30)));
    await withRunner(
      config,
      async (runner) => {
        const before = copy(runner.state());
        const terms = await takeStep(runner, 0, 0.1, batchOf(config));
        assert.ok(!Number.isFinite(terms['l']));
        assert.deepEqual(copy(runner.state()), before);
      },
      initial,
    );
  });

  it('does not change any state if the gradients are not finite, even with a finite loss', async () => {
    const config = {
      ...resNet,
      microBatch: 4,
      optimizer: fullAdamw,
      loss: { ...resNet.loss, weights: { ...resNet.loss.weights, invariance: 1e30 } },
    };
    await withRunner(config, async (runner) => {
      const before = copy(runner.state());
      const { grad_norm: gradientNorm, ...terms } = await takeStep(runner, 0, 0.1, batchOf(config));
      assert.ok(Object.values(terms).every(Number.isFinite), JSON.stringify(terms));
      assert.equal(gradientNorm, Number.POSITIVE_INFINITY);
      assert.deepEqual(copy(runner.state()), before);
    });
  });
});

describe('updateGroups', () => {
  const spec = (name: string, shape: number[]) => ({ name, shape, initialiser: ZEROS });
  const names = (shapes: number[][], maxElements: number) =>
    updateGroups(
      shapes.map((shape, i) => spec(`${i}`, shape)),
      maxElements,
    ).map((group) => group.map(({ name }) => name).join(''));

  it('fills groups in order up to the size limit, and puts a larger parameter into a group alone', () => {
    assert.deepEqual(names([[2], [2, 2], [3], [9], [1], [5]], 6), ['01', '2', '3', '45']);
    assert.deepEqual(names([[100]], 6), ['0']);
  });
});
