import assert from 'node:assert/strict';
import { mapCells } from '../../src/nn/backbone.js';
import { initialise } from '../../src/nn/parameters.js';
import { identity } from '../../src/onnx/ops/elementwise.js';
import { adamw } from '../../src/optim/adamw.js';
import type { Optimizer } from '../../src/optim/optimizer.js';
import { stream } from '../../src/tensor/random.js';
import { elementCount, type Tensor, tensor } from '../../src/tensor/tensor.js';
import { createStepRunner } from '../../src/train/createStepRunner.js';
import { networkSpecs } from '../../src/train/networkSpecs.js';
import type { StepConfig } from '../../src/train/stepConfig.js';
import type { RunnerOptions, StepBatch, StepRunner, StepTerms } from '../../src/train/stepRunner.js';
import { floats, normals } from './graphs.js';

/** Small training steps, for tests of the runners. */

export const fullAdamw = adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 });

/** Keeps the weights as they are and the gradients as state, `kept/<parameter>`. */
export const gradientsAsState: Optimizer = {
  slots: ['kept'],
  scalars: [],
  scalarValues: () => ({}),
  update: (parameter, gradient) => ({ parameter: identity(parameter), state: { kept: identity(gradient) } }),
};

export const convNext: StepConfig = {
  model: {
    backbone: { family: 'convnext', depths: [1, 2], widths: [8, 16] },
    expander: [24, 24],
    localProjector: [16, 16],
  },
  loss: {
    alpha: 0.75,
    numMatches: [3, 2],
    featureMatches: 'all',
    weights: { invariance: 25, variance: 25, covariance: 1 },
  },
  optimizer: gradientsAsState,
  batchSize: 8,
  viewSizes: [16, 16],
  pixels: 'uint8',
  dropPath: true,
};
export const multiCrop: StepConfig = {
  ...convNext,
  viewSizes: [24, 24, 16, 16],
  loss: { ...convNext.loss, numMatches: [4, 2] },
};
export const resNet: StepConfig = {
  ...convNext,
  model: { ...convNext.model, backbone: { family: 'resnet', block: 'basic', layers: [1, 1, 1, 1], width: 8 } },
  viewSizes: [64, 64],
  dropPath: false,
};
const { backbone, expander, localProjector } = convNext.model as Required<StepConfig['model']>;
export const configs: Readonly<Record<string, StepConfig>> = {
  'two views': convNext,
  'two large views and two small ones': multiCrop,
  'an online classifier': { ...convNext, classes: 3 },
  'the global loss alone': { ...convNext, loss: { ...convNext.loss, alpha: 1 }, model: { backbone, expander } },
  'the local loss alone': { ...convNext, loss: { ...convNext.loss, alpha: 0 }, model: { backbone, localProjector } },
};

export function batchOf({ batchSize, viewSizes, model, classes }: StepConfig, seed = 0): StepBatch {
  const random = stream(seed, 'pixels');
  const views = viewSizes.map((size) => {
    const shape = [batchSize, size, size, 3];
    return tensor(
      'uint8',
      shape,
      Uint8Array.from({ length: batchSize * size * size * 3 }, () => random.integer(256)),
    );
  });
  const locations = viewSizes.map((size, v) => {
    const shape = [batchSize, mapCells(model.backbone, size) ** 2, 2];
    return floats(
      shape,
      normals(shape, 10 * seed + v).map((value) => 100 * value),
    );
  });
  const labels = tensor(
    'int64',
    [batchSize],
    BigInt64Array.from({ length: batchSize }, (_, i) => BigInt(i % (classes ?? 1))),
  );
  return { views, locations, ...(classes !== undefined && { labels }) };
}

/** Weights of a trained scale: with the initial .02 of ConvNeXt the residual branches would have little effect. */
export function weightsOf(config: StepConfig): Map<string, Tensor> {
  return new Map(
    networkSpecs(config).parameters.map((spec, i) => {
      const { name, shape } = spec;
      if (shape.length === 1) return [name, initialise(spec, 0)];
      const fanIn = elementCount(shape.slice(1));
      return [
        name,
        floats(
          shape,
          normals(shape, 100 + i).map((value) => value / Math.sqrt(fanIn)),
        ),
      ];
    }),
  );
}

export async function withRunner<T>(
  config: StepConfig,
  use: (runner: StepRunner) => Promise<T>,
  initial: ReadonlyMap<string, Tensor> = weightsOf(config),
  more: Pick<RunnerOptions, 'collectives'> = {},
): Promise<T> {
  const options = { dropPathRate: 0.4, initial, seed: 5, session: { threads: 1 }, ...more };
  const runner = await createStepRunner(config, options);
  try {
    return await use(runner);
  } finally {
    await runner.close();
  }
}

export const takeStep = async (
  runner: StepRunner,
  step: number,
  learningRate: number,
  batch: StepBatch,
): Promise<StepTerms> => (await runner.run([{ step, learningRate, batch }]))[0]!;

export const copy = (state: ReadonlyMap<string, Tensor>): Map<string, Tensor> =>
  new Map([...state].map(([name, value]) => [name, { ...value, data: value.data.slice() as Float32Array }]));

export const near = (actual: number, expected: number, tolerance: number, name: string) =>
  assert.ok(Math.abs(actual - expected) <= tolerance * Math.abs(expected) + 1e-6, `${name}: ${actual}, ${expected}`);

export const norm = (values: Iterable<number>) => Math.hypot(...values);

/** One step: its log, and all state after it. */
export const stepOf = (config: StepConfig, batch = batchOf(config)) =>
  withRunner(config, async (runner) => ({ terms: await takeStep(runner, 0, 0.1, batch), state: copy(runner.state()) }));
