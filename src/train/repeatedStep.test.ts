import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats, normals } from '../../test/support/graphs.js';
import { initialise } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { createSession, runSession } from '../onnx/session.js';
import { adamw } from '../optim/adamw.js';
import { sgd } from '../optim/sgd.js';
import { stateSpecs } from '../optim/state.js';
import { stack, type Tensor } from '../tensor/tensor.js';
import { withEma } from './ema.js';
import { repeatStep } from './repeatedStep.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { buildStep } from './stepGraph.js';

const config: StepConfig = {
  model: {
    backbone: { family: 'convnext', depths: [1, 1], widths: [8, 16] },
    expander: [24, 24],
    localProjector: [16, 16],
  },
  loss: {
    alpha: 0.75,
    numMatches: [3, 2],
    featureMatches: 'all',
    weights: { invariance: 25, variance: 25, covariance: 1 },
  },
  optimizer: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 }),
  batchSize: 4,
  viewSizes: [32, 16],
  pixels: 'float32',
  dropPath: false,
};

describe('steps repeated in one run', () => {
  const configs: Record<string, StepConfig> = {
    'AdamW on the VICReg criterion': config,
    'SGD on SimCLR-L, clipped, with averaged weights': {
      ...config,
      loss: { ...config.loss, simclr: { temperature: 0.15 } },
      optimizer: withEma(sgd({ momentum: 0.9, weightDecay: 0.1, decayVectors: false }), 0.9),
      clipNorm: 0.5,
    },
  };
  for (const [what, config] of Object.entries(configs))
    it(`give the state and the log of the same steps run one by one, for any number of steps: ${what}`, async () => {
      const step = buildStep(config);
      const specs = stateSpecs(step, config);
      const state = specs.map(({ name }) => name);
      const STEPS = 3;
      const inputs = step.graph.inputs.filter(({ name }) => !state.includes(name));
      const feedsOf = (at: number): Map<string, Tensor> => {
        const scalars = config.optimizer.scalarValues(at, 0.01 * (at + 1));
        return new Map(
          inputs.map(({ name, shape }, i) => {
            const static_ = shape as readonly number[];
            return [name, floats(static_, name in scalars ? [scalars[name]!] : normals(static_, 100 * at + i))];
          }),
        );
      };
      const start = new Map<string, Tensor>(specs.map((spec) => [spec.name, initialise(spec, 0)]));

      const single = await createSession(encodeModel(step.graph), { threads: 1 });
      let current = start;
      const logs: Record<string, number[]> = Object.fromEntries(step.logs.map((name) => [name, []]));
      for (let at = 0; at < STEPS; at++) {
        const results = await runSession(single, new Map([...current, ...feedsOf(at)]));
        current = new Map(state.map((name) => [name, results.get(stepNames.updated(name))!]));
        for (const name of step.logs) logs[name]!.push(Number(results.get(name)!.data[0]));
      }
      await single.release();

      const stacked = (from: number, to: number) => {
        const feeds = Array.from({ length: to - from }, (_, i) => feedsOf(from + i));
        return inputs.map(({ name }): [string, Tensor] => [name, stack(feeds.map((feed) => feed.get(name)!))]);
      };
      const repeated = await createSession(encodeModel(repeatStep(step, state)), { threads: 1 });
      let reached = start;
      const repeatedLogs: Record<string, number[]> = Object.fromEntries(step.logs.map((name) => [name, []]));
      for (const [from, to] of [
        [0, 2],
        [2, 3],
      ] as const) {
        const results = await runSession(repeated, new Map([...reached, ...stacked(from, to)]));
        reached = new Map(state.map((name) => [name, results.get(stepNames.updated(name))!]));
        for (const name of step.logs) repeatedLogs[name]!.push(...(results.get(name)!.data as Float32Array));
      }
      await repeated.release();

      assert.deepEqual(repeatedLogs, logs);
      for (const name of state) {
        assert.deepEqual(reached.get(name), current.get(name), name);
        if (!name.includes('/')) assert.notDeepEqual(reached.get(name), start.get(name), `${name} never moved`);
      }
    });
});
