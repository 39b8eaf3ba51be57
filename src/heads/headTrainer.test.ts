import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normals, numbers } from '../../test/support/graphs.js';
import { linearLayer, ZEROS } from '../nn/layers.js';
import type { Parameters } from '../nn/parameters.js';
import { sgd } from '../optim/sgd.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { crossEntropy } from '../vicregl/monitors.js';
import { createHeadTrainer } from './headTrainer.js';

const [N, C, K] = [8, 4, 3];
const options = {
  optimizer: sgd({ momentum: 0.9, weightDecay: 0, decayVectors: true }),
  seed: 1,
  session: { threads: 1 },
};
const emit = (parameters: Parameters) => {
  const features = parameters.graph.input('features', 'float32', [N, C]);
  const labels = parameters.graph.input('labels', 'int64', [N]);
  const logits = linearLayer(features, parameters, 'head', K, { weightInit: ZEROS, biasInit: ZEROS });
  return { loss: crossEntropy(logits, labels), logs: {} };
};
const labels = Array.from({ length: N }, (_, i) => i % K);
const x = normals([N, C], 3);
const feeds = new Map<string, Tensor>([
  ['features', tensor('float32', [N, C], Float32Array.from(x))],
  ['labels', tensor('int64', [N], BigInt64Array.from(labels, BigInt))],
]);

describe('createHeadTrainer', () => {
  it('takes a step down the gradient of the loss', async () => {
    const trainer = await createHeadTrainer(emit, options);
    const { loss } = await trainer.step(feeds, 0, 0.5);
    assert.ok(Math.abs(loss! - Math.log(K)) < 1e-6);
    // Zero weights give equal probabilities: dL/dW = mean of (1/K - onehot) x.
    const weight = numbers(trainer.weights().get('head.weight')!);
    for (let k = 0; k < K; k++) {
      for (let c = 0; c < C; c++) {
        const gradient = labels.reduce((sum, label, n) => sum + (1 / K - (label === k ? 1 : 0)) * x[n * C + c]!, 0) / N;
        assert.ok(Math.abs(weight[k * C + c]! + 0.5 * gradient) < 1e-6);
      }
    }
    await trainer.close();
  });

  it('goes on from a saved state as if it had not stopped', async () => {
    const whole = await createHeadTrainer(emit, options);
    for (let step = 0; step < 4; step++) await whole.step(feeds, step, 0.1);
    const first = await createHeadTrainer(emit, options);
    for (let step = 0; step < 2; step++) await first.step(feeds, step, 0.1);
    const second = await createHeadTrainer(emit, { ...options, resumed: first.state() });
    for (let step = 2; step < 4; step++) await second.step(feeds, step, 0.1);
    assert.deepEqual(second.state(), whole.state());
    for (const trainer of [whole, first, second]) await trainer.close();
  });

  it('keeps the weights of before a step that diverges, and rejects a state that does not fit', async () => {
    const trainer = await createHeadTrainer(emit, options);
    await trainer.step(feeds, 0, 0.1);
    const before = trainer.state();
    await assert.rejects(trainer.step(feeds, 1, Number.POSITIVE_INFINITY), {
      name: 'DivergedError',
      message: /step 1: .* lower the learning rate/,
    });
    assert.equal(trainer.state(), before);
    await trainer.close();
    await assert.rejects(
      createHeadTrainer(emit, { ...options, resumed: new Map() }),
      /"head.weight" \[3, 4\] is missing/,
    );
  });
});
