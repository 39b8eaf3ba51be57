import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { relativeError } from '../../test/support/graphs.js';
import '../../test/support/sharedSessions.js';
import {
  batchOf,
  configs,
  convNext,
  copy,
  gradientsAsState,
  near,
  norm,
  resNet,
  stepOf,
  takeStep,
  weightsOf,
  withRunner,
} from '../../test/support/trainingSteps.js';
import type { Collectives } from '../distributed/collectives.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { lars } from '../optim/lars.js';
import { rows, type Tensor } from '../tensor/tensor.js';
import { withEma } from './ema.js';
import type { StepConfig } from './stepConfig.js';
import type { StepBatch } from './stepRunner.js';

/** The photographs of one rank. */
function partOf(batch: StepBatch, { rank, size }: Collectives): StepBatch {
  const part = <T extends Tensor>(value: T): T => {
    const count = value.shape[0]! / size;
    return rows(value, rank * count, (rank + 1) * count) as T;
  };
  return {
    views: batch.views.map(part),
    locations: batch.locations.map(part),
    ...(batch.labels && { labels: part(batch.labels) }),
  };
}

/** Steps of several ranks: the log of each step and the state after the last, of every rank. */
function ranksOf(config: StepConfig, ranks: number, steps = 1, wrap = (each: Collectives) => each) {
  return Promise.all(
    createInMemoryGroup(ranks)
      .map(wrap)
      .map((collectives) =>
        withRunner(
          config,
          async (runner) => {
            const terms = [];
            for (let step = 0; step < steps; step++) {
              terms.push(await takeStep(runner, step, 0.1, partOf(batchOf(config, step), collectives)));
            }
            return { terms, state: copy(runner.state()) };
          },
          // Only rank 0 has the weights.
          collectives.rank === 0 ? weightsOf(config) : new Map(),
          { collectives },
        ),
      ),
  );
}

/**
 * Compares the gradients that `gradientsAsState` keeps, each by its own norm and a tenth of that of all of them.
 * @returns the largest difference as a share of what is allowed
 */
function checkGradients(
  actual: ReadonlyMap<string, Tensor>,
  expected: ReadonlyMap<string, Tensor>,
  tolerance: number,
  what: string,
): number {
  const gradients = [...expected].filter(([key]) => key.startsWith('kept/'));
  const global = norm(gradients.map(([, { data }]) => norm(data as Float32Array)));
  let worst = 0;
  for (const [key, { data }] of gradients) {
    const own = actual.get(key)!.data as Float32Array;
    const difference = norm(own.map((value, i) => value - Number(data[i])));
    const most = tolerance * norm(data as Float32Array) + 0.1 * tolerance * global;
    worst = Math.max(worst, difference / most);
    assert.ok(difference <= most, `${what}, ${key}: ${difference} over ${most}`);
  }
  return worst;
}

const optimizer = withEma(lars({ eta: 0.01, momentum: 0.9, weightDecay: 1e-3 }), 0.9);

describe('a step on several ranks', () => {
  const cases: Record<string, readonly [StepConfig, number]> = {
    ...Object.fromEntries(Object.entries(configs).map(([name, config]) => [name, [config, 1e-5] as const])),
    // Batch normalisation over the photographs of all ranks, in the backbone and in the heads.
    'a ResNet': [resNet, 1e-4],
  };
  for (const [name, [config, tolerance]] of Object.entries(cases)) {
    it(`has the gradients and the log of one process: ${name}`, async (context) => {
      const whole = await stepOf(config);
      for (const [ranks, microBatch] of [
        [2, undefined],
        ...(config === convNext
          ? ([
              [4, undefined],
              [2, 2],
            ] as const)
          : []),
      ] as const) {
        const each = await ranksOf({ ...config, ...(microBatch && { microBatch }) }, ranks);
        const [{ terms, state }] = each as [(typeof each)[number]];
        for (const other of each) assert.deepEqual(other, each[0]);
        for (const [term, value] of Object.entries(whole.terms)) near(terms[0]![term]!, value, tolerance, term);
        const worst = checkGradients(state, whole.state, tolerance, `${ranks} ranks`);
        for (const [key, { data: expected }] of whole.state) {
          if (!/running_(mean|var)$/.test(key)) continue;
          const error = relativeError(state.get(key)!.data, expected);
          // The one process updates them for each view, as the ranks do.
          assert.ok(error < tolerance, `${ranks} ranks, ${key}: ${error}`);
        }
        context.diagnostic(`${ranks} ranks: at most ${worst.toFixed(2)} of the tolerance`);
      }
    });
  }

  it('takes several steps to the weights of one process, with the same bits on all ranks', async () => {
    // Not AdamW: it makes steps of full length out of the rounding of gradients that are 0.
    const config = { ...configs['an online classifier']!, optimizer, clipNorm: 2 };
    const whole = await withRunner(config, async (runner) => {
      for (const step of [0, 1, 2]) await takeStep(runner, step, 0.1, batchOf(config, step));
      return copy(runner.state());
    });
    const each = await ranksOf(config, 2, 3);
    assert.deepEqual(each[1], each[0]);
    for (const [name, { data }] of whole) {
      const error = relativeError(each[0]!.state.get(name)!.data, data);
      assert.ok(error < 2e-5, `${name}: ${error}`);
    }
  });

  it('has the same bits on ranks whose processors round the loss differently', async () => {
    const config = { ...configs['an online classifier']!, optimizer, clipNorm: 2 };
    const rounding = (collectives: Collectives): Collectives => ({
      ...collectives,
      async allGather(values) {
        await collectives.allGather(values);
        if (collectives.rank === 0 || !(values instanceof Float32Array)) return;
        for (let i = 0; i < values.length; i++) values[i]! *= 1 + 1e-5;
      },
    });
    const [first, second] = await ranksOf(config, 2, 2, rounding);
    assert.deepEqual(second, first);
  });

  it('is refused by all ranks if it is not finite on one', async () => {
    const config = { ...configs['two views']!, optimizer: gradientsAsState };
    const before = await withRunner(config, async (runner) => copy(runner.state()));
    const each = await Promise.all(
      createInMemoryGroup(2).map((collectives) =>
        withRunner(
          { ...config, pixels: 'float32' },
          async (runner) => {
            const batch = partOf(batchOf(config), collectives);
            const views = batch.views.map(({ shape, data }): Tensor => {
              const value = collectives.rank === 1 ? Number.NaN : 0;
              return { dtype: 'float32', shape, data: new Float32Array(data.length).fill(value) };
            });
            return { terms: await takeStep(runner, 0, 0.1, { ...batch, views }), state: copy(runner.state()) };
          },
          weightsOf(config),
          { collectives },
        ),
      ),
    );
    for (const { terms, state } of each) {
      assert.ok(!Number.isFinite(terms['l']));
      assert.deepEqual(state, before);
    }
  });

  it('without syncBatchNorm has the statistics of each rank, as micro-batches of one process have them', async () => {
    const config = { ...resNet, syncBatchNorm: false };
    const { terms, state } = await stepOf({ ...config, microBatch: config.batchSize / 2 });
    const [first, second] = (await ranksOf(config, 2)) as [
      { terms: (typeof terms)[]; state: typeof state },
      { terms: (typeof terms)[]; state: typeof state },
    ];
    assert.deepEqual(second, first);
    for (const [name, value] of Object.entries(terms)) near(first.terms[0]![name]!, value, 1e-4, name);
    checkGradients(first.state, state, 1e-4, '2 ranks');
    const running = [...state.keys()].filter((name) => /running_(mean|var)$/.test(name));
    assert.ok(running.length > 0);
    // Two updates one after the other move further than the mean of the two.
    const moved = (after: typeof state, name: string) =>
      norm((after.get(name)!.data as Float32Array).map((value) => value - (name.endsWith('var') ? 1 : 0)));
    for (const name of running) {
      const once = moved(first.state, name);
      assert.ok(once > 0 && once < moved(state, name), name);
    }
  });
});
