import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { floats, integers, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { dropPathBlocks, mapCells } from '../nn/backbone.js';
import { initialise } from '../nn/parameters.js';
import { encodeModel } from '../onnx/encode.js';
import { createSession, runSession } from '../onnx/session.js';
import { adamw } from '../optim/adamw.js';
import { sgd } from '../optim/sgd.js';
import { stateSpecs } from '../optim/state.js';
import { stream } from '../tensor/random.js';
import { elementCount, type Tensor, tensor } from '../tensor/tensor.js';
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
  viewSizes: [16, 16, 8],
  pixels: 'float32',
  dropPath: true,
};
// a map of one cell has only one match
const small: StepConfig = { ...config, loss: { ...config.loss, numMatches: [3, 1] } };

function feedsOf({ batchSize, viewSizes, model }: StepConfig): Map<string, Tensor> {
  const feeds = new Map<string, Tensor>();
  const random = stream(1, 'drop');
  viewSizes.forEach((size, v) => {
    const cells = mapCells(model.backbone, size) ** 2;
    const [pixels, locations] = [
      [batchSize, size, size, 3],
      [batchSize, cells, 2],
    ];
    feeds.set(stepNames.view(v), floats(pixels!, normals(pixels!, v)));
    feeds.set(stepNames.locations(v), floats(locations!, normals(locations!, 10 + v)));
    const blocks = dropPathBlocks(model.backbone);
    const scales = Array.from({ length: batchSize * blocks }, () => (random.bernoulli(0.8) ? 1.25 : 0));
    feeds.set(stepNames.dropPath(v), floats([batchSize, blocks], scales));
  });
  for (const [name, value] of Object.entries(config.optimizer.scalarValues(0, 0.01))) {
    feeds.set(name, floats([], [value]));
  }
  return feeds;
}

describe('the step graph', () => {
  it('has the gradient of the complete tiny network: central differences along every parameter', async () => {
    const step = buildStep(small, { gradients: true });
    const session = await createSession(encodeModel(step.graph), { threads: 1 });
    const feeds = feedsOf(small);
    for (const { name, shape } of stateSpecs(step, config))
      feeds.set(name, floats(shape, Array(elementCount(shape)).fill(0)));
    for (const [i, spec] of step.parameters.entries()) {
      // Weights of a trained scale; with the initial .02 a branch would have little effect.
      const fanIn = spec.shape.length > 1 ? elementCount(spec.shape.slice(1)) : 25;
      const drawn = normals(spec.shape, 100 + i).map((value) => value / Math.sqrt(fanIn));
      const start = initialise(spec, 0).data;
      feeds.set(
        spec.name,
        floats(
          spec.shape,
          drawn.map((value, k) => value + (spec.shape.length === 1 ? start[k]! : 0)),
        ),
      );
    }
    const names = step.parameters.map(({ name }) => name);
    const gradients = await runSession(session, feeds, names.map(stepNames.gradient));
    const lossAt = async () => Number((await runSession(session, feeds, ['l'])).get('l')!.data[0]);
    // The loss is smooth except where a match or the side of a hinge changes, which a long step may cross and a
    // short one does not; float32 rounding dominates a short one if the gradient is small. A wrong gradient is
    // wrong for both.
    const lengths = [2e-3, 5e-4];
    for (const name of names) {
      const gradient = gradients.get(stepNames.gradient(name))!.data as Float32Array;
      const norm = Math.hypot(...gradient);
      assert.ok(norm > 0, `${name} gets no gradient`);
      const weights = feeds.get(name)! as Tensor<'float32'>;
      const moved = (length: number) =>
        tensor(
          'float32',
          weights.shape,
          weights.data.map((value, i) => value + (length * gradient[i]!) / norm),
        );
      const errors: number[] = [];
      for (const length of lengths) {
        feeds.set(name, moved(length));
        const above = await lossAt();
        feeds.set(name, moved(-length));
        const below = await lossAt();
        errors.push(Math.abs((above - below) / (2 * length) - norm) / norm);
      }
      feeds.set(name, weights);
      assert.ok(Math.min(...errors) < 0.01, `${name}: relative errors ${errors.join(' and ')}`);
    }
    await session.release();
  });

  for (const [name, backbone, viewSizes] of [
    [
      'ResNet',
      { family: 'resnet', block: 'bottleneck', layers: [1, 2, 1, 1], width: 8, zeroInit: false },
      [64, 64, 96],
    ],
    ['ConvNeXt', small.model.backbone, [128, 128, 64]],
  ] as const) {
    it(`has the same loss and gradients in the CPU's forms and in CUDA's: ${name}`, async () => {
      // Matches by location do not depend on rounding.
      const loss = { ...small.loss, numMatches: [4, 4], matches: 'location' } as const;
      const model = { ...small.model, backbone };
      const compared: StepConfig = { ...small, model, loss, viewSizes, dropPath: false };
      const feeds = new Map([...feedsOf(compared)].filter(([input]) => !input.startsWith('drop_path')));
      for (const spec of stateSpecs(buildStep(compared), compared)) feeds.set(spec.name, initialise(spec, 1));
      const [cpu, cuda] = await Promise.all(
        (['cpu', 'cuda'] as const).map(async (provider) => {
          const { graph, parameters } = buildStep(compared, { provider, gradients: true });
          const session = await createSession(encodeModel(graph), { threads: 1 });
          const names = ['l', ...parameters.map((parameter) => stepNames.gradient(parameter.name))];
          const results = await runSession(session, feeds, names);
          await session.release();
          return results;
        }),
      );
      const values = (results: ReadonlyMap<string, Tensor>) => [...results.values()].flatMap(numbers);
      assert.ok(relativeError(numbers(cpu!.get('l')!), numbers(cuda!.get('l')!)) < 1e-5);
      const error = relativeError(values(cpu!), values(cuda!));
      assert.ok(error < 1e-4, `relative error ${error}`);
    });
  }

  const inputs = (changes: Partial<StepConfig>) =>
    buildStep({ ...small, ...changes })
      .graph.inputs.map(({ name }) => name)
      .filter((name) => /^(view|locations|drop_path|labels)/.test(name));

  it('has only the inputs that its configuration needs', () => {
    const views = [0, 1, 2].map((v) => `view.${v}`);
    const locations = [0, 1, 2].map((v) => `locations.${v}`);
    const dropPath = [0, 1, 2].map((v) => `drop_path.${v}`);
    const { expander, localProjector, backbone } = small.model;
    assert.deepEqual(new Set(inputs({})), new Set([...views, ...locations, ...dropPath]));
    assert.deepEqual(new Set(inputs({ dropPath: false, classes: 3 })), new Set([...views, ...locations, 'labels']));
    const global = { loss: { ...small.loss, alpha: 1 }, model: { backbone, expander: expander! }, dropPath: false };
    assert.deepEqual(inputs(global), views);
    const local = { loss: { ...small.loss, alpha: 0 }, model: { backbone, localProjector: localProjector! } };
    assert.deepEqual(
      buildStep({ ...small, ...local }).parameters.filter(({ name }) => /^projector/.test(name)),
      [],
    );
  });

  it('outputs every updated parameter and its two moments', () => {
    const step = buildStep(small);
    const expected = stateSpecs(step, config).map(({ name }) => stepNames.updated(name));
    assert.deepEqual(new Set(step.graph.outputs.keys()), new Set([...step.logs, ...expected]));
    assert.equal(expected.length, 3 * step.parameters.length);
  });

  it('scales the gradients of the network to clipNorm before the update, and logs their norm', async () => {
    const rate = 0.1;
    const optimizer = sgd({ momentum: 0, weightDecay: 0, decayVectors: false });
    for (const clipNorm of [0.5, 1e6]) {
      const clipping: StepConfig = { ...small, optimizer, clipNorm, classes: 3 };
      const step = buildStep(clipping, { gradients: true });
      const session = await createSession(encodeModel(step.graph), { threads: 1 });
      const feeds = feedsOf(clipping);
      for (const scalar of config.optimizer.scalars) feeds.delete(scalar);
      feeds.set('learning_rate', floats([], [rate]));
      feeds.set(stepNames.labels, integers([4], [0, 2, 1, 1]));
      for (const spec of stateSpecs(step, clipping)) feeds.set(spec.name, initialise(spec, 1));
      const results = await runSession(session, feeds);
      await session.release();
      const gradient = (name: string) => numbers(results.get(stepNames.gradient(name))!);
      const names = step.parameters.map(({ name }) => name);
      const network = names.filter((name) => !name.startsWith('classifier.'));
      const norm = Math.sqrt(network.flatMap(gradient).reduce((sum, value) => sum + value * value, 0));
      assert.ok(norm > 1);
      assert.ok(Math.abs(numbers(results.get('grad_norm')!)[0]! - norm) < 1e-5 * norm);
      const scale = Math.min(1, clipNorm / (norm + 1e-6));
      for (const name of names) {
        const factor = network.includes(name) ? rate * scale : rate;
        const start = numbers(feeds.get(name)!);
        const expected = gradient(name).map((value, i) => start[i]! - factor * value);
        const error = relativeError(numbers(results.get(stepNames.updated(name))!), expected);
        assert.ok(error < 1e-6, `${name} with clipNorm ${clipNorm}: relative error ${error}`);
      }
    }
  });
});
