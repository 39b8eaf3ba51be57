import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import '../../test/support/sharedSessions.js';
import {
  batchOf,
  convNext,
  copy,
  fullAdamw,
  near,
  resNet,
  takeStep,
  weightsOf,
} from '../../test/support/trainingSteps.js';
import type { Collectives } from '../distributed/collectives.js';
import { createInMemoryGroup } from '../distributed/inMemory.js';
import { rows, type Tensor, tensor } from '../tensor/tensor.js';
import { createFusedRunner } from './fusedRunner.js';
import { createMicroRunner } from './microRunner.js';
import type { StepConfig } from './stepConfig.js';
import { allFinite, type RunnerOptions, type StepBatch, type StepRunner } from './stepRunner.js';

const config: StepConfig = { ...convNext, precision: 'fp16', optimizer: fullAdamw };

/** At which every gradient of the test's network overflows float16. */
const HUGE = 2 ** 24;
const SMALL = 2 ** 6;

const state = (name: string, value: number): [string, Tensor] => [name, tensor('float32', [], Float32Array.of(value))];
const startingAt = (scale: number, steps = 0, of = config) =>
  new Map([...weightsOf(of), state('loss_scale/value', scale), state('loss_scale/steps', steps)]);
const optionsOf = (initial: ReadonlyMap<string, Tensor>, collectives?: Collectives): RunnerOptions => ({
  ...{ dropPathRate: 0.4, initial, seed: 5, session: { threads: 1 } },
  ...(collectives && { collectives }),
});
const scaleOf = (runner: StepRunner) => Number(runner.state().get('loss_scale/value')!.data[0]);

const runners: Readonly<
  Record<string, (initial: ReadonlyMap<string, Tensor>, of?: StepConfig) => Promise<StepRunner>>
> = {
  'in one graph': (initial, of = config) => createFusedRunner(of, optionsOf(initial)),
  'in micro-batches': (initial, of = config) => createMicroRunner({ ...of, microBatch: 4 }, optionsOf(initial)),
};

describe('the scale of the loss', () => {
  for (const [name, create] of Object.entries(runners)) {
    it(`is halved where gradients overflow, and nothing else changes: ${name}`, async () => {
      const runner = await create(startingAt(HUGE));
      try {
        const before = copy(runner.state());
        const terms = await takeStep(runner, 0, 0.1, batchOf(config));
        assert.equal(terms['overflow'], 1);
        assert.equal(terms['loss_scale'], HUGE);
        assert.ok(!('grad_norm' in terms), 'an infinite norm is not logged');
        assert.ok(allFinite([terms]));
        for (const [key, value] of runner.state()) {
          if (!key.startsWith('loss_scale/')) assert.deepEqual(value, before.get(key), key);
        }
        assert.equal(scaleOf(runner), HUGE / 2);
        // It goes down until the gradients fit; then the weights move.
        let step = 1;
        for (; (await takeStep(runner, step, 0.1, batchOf(config)))['overflow'] === 1; step++) assert.ok(step < 24);
        assert.equal(scaleOf(runner), HUGE / 2 ** step);
        assert.notDeepEqual(runner.state().get('projector.0.weight'), before.get('projector.0.weight'));
      } finally {
        await runner.close();
      }
    });

    it(`is doubled after 2,000 steps without an overflow: ${name}`, async () => {
      const runner = await create(startingAt(SMALL, 1998));
      try {
        const scales = [];
        for (const step of [0, 1, 2]) {
          await takeStep(runner, step, 0.1, batchOf(config, step));
          scales.push(scaleOf(runner));
        }
        assert.deepEqual(scales, [SMALL, 2 * SMALL, 2 * SMALL]);
      } finally {
        await runner.close();
      }
    });

    it(`is not doubled beyond ${HUGE}, where gradients are tiny: ${name}`, async () => {
      const weights = { invariance: 1e-6, variance: 1e-6, covariance: 1e-6 };
      const tiny = { ...config, loss: { ...config.loss, weights } };
      for (const [before, after] of [
        [HUGE / 2, HUGE],
        [HUGE, HUGE],
      ] as const) {
        const runner = await create(startingAt(before, 1999, tiny), tiny);
        try {
          assert.equal((await takeStep(runner, 0, 0.1, batchOf(config)))['overflow'], 0);
          assert.equal(scaleOf(runner), after);
          assert.equal(runner.state().get('loss_scale/steps')!.data[0], 0);
        } finally {
          await runner.close();
        }
      }
    });

    it(`does not excuse gradients that overflow without it: ${name}`, async () => {
      const steep = { ...config, loss: { ...config.loss, weights: { invariance: 1e9, variance: 1e9, covariance: 0 } } };
      const runner = await create(startingAt(1, 0, steep), steep);
      try {
        const before = copy(runner.state());
        const terms = await takeStep(runner, 0, 0.1, batchOf(config));
        assert.equal(terms['overflow'], 0);
        assert.ok(!Number.isFinite(terms['grad_norm']), `${terms['grad_norm']}`);
        assert.ok(Number.isFinite(terms['l']));
        assert.deepEqual(copy(runner.state()), before);
      } finally {
        await runner.close();
      }
    });
  }

  it('changes neither gradients nor weights by its size', async () => {
    const ends = await Promise.all(
      [SMALL, SMALL / 8].map(async (scale) => {
        const runner = await createFusedRunner(config, optionsOf(startingAt(scale)));
        const terms = await takeStep(runner, 0, 0.1, batchOf(config));
        await runner.close();
        return terms;
      }),
    );
    near(ends[0]!['grad_norm']!, ends[1]!['grad_norm']!, 1e-3, 'grad_norm');
  });

  it('is decided after each of several steps of one run', async () => {
    const steps = [0, 1, 2].map((step) => ({ step, learningRate: 0.1, batch: batchOf(config, step) }));
    const single = await createFusedRunner(config, optionsOf(startingAt(HUGE)));
    const repeated = await createFusedRunner(config, optionsOf(startingAt(HUGE)), 3);
    try {
      const one = [];
      for (const step of steps) one.push(...(await single.run([step])));
      assert.deepEqual(await repeated.run(steps), one);
      assert.deepEqual(copy(repeated.state()), copy(single.state()));
      assert.equal(scaleOf(repeated), HUGE / 8);
    } finally {
      await Promise.all([single.close(), repeated.close()]);
    }
  });

  it('is one for all ranks', async () => {
    const part = <T extends Tensor>(value: T, rank: number): T => rows(value, rank * 4, rank * 4 + 4) as T;
    const ranks = await Promise.all(
      createInMemoryGroup(2).map(async (collectives) => {
        const runner = await createMicroRunner({ ...config, microBatch: 4 }, optionsOf(startingAt(HUGE), collectives));
        const terms = [];
        for (const step of [0, 1]) {
          const { views, locations } = batchOf(config, step);
          const own: StepBatch = {
            views: views.map((view) => part(view, collectives.rank)),
            locations: locations.map((location) => part(location, collectives.rank)),
          };
          terms.push(await takeStep(runner, step, 0.1, own));
        }
        const end = copy(runner.state());
        await runner.close();
        return { terms, end };
      }),
    );
    assert.deepEqual(ranks[1], ranks[0]);
    assert.deepEqual(
      ranks[0]!.terms.map((terms) => [terms['overflow'], terms['loss_scale']]),
      [
        [1, HUGE],
        [1, HUGE / 2],
      ],
    );
  });

  it('leaves the running statistics of batch normalisation to the forward pass', async () => {
    const of: StepConfig = { ...resNet, precision: 'fp16', optimizer: fullAdamw };
    for (const create of Object.values(runners)) {
      const runner = await create(startingAt(HUGE, 0, of), of);
      const before = copy(runner.state());
      assert.equal((await takeStep(runner, 0, 0.1, batchOf(of)))['overflow'], 1);
      const changed = [...runner.state()].filter(([key, { data }]) =>
        data.some((value, i) => value !== before.get(key)!.data[i]),
      );
      await runner.close();
      for (const [key] of changed) assert.match(key, /running_(mean|var)$|^loss_scale\/value$/);
      assert.ok(changed.some(([key]) => key.endsWith('running_var')));
    }
  });
});
