import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { normals } from '../../test/support/graphs.js';
import { tensor } from '../tensor/tensor.js';
import { classRanks, createLinearClassifier } from './linearClassifier.js';

const [N, C, K] = [8, 4, 3];
const x = Float32Array.from(normals([N, C], 3));
const labels = Uint32Array.from({ length: N }, (_, i) => i % K);
const rowOf = (i: number) => x.subarray(i * C, (i + 1) * C);
const options = {
  channels: C,
  classes: K,
  batchSize: N,
  momentum: 0.9,
  weightDecay: 0.1,
  seed: 1,
  session: { threads: 1 },
};

/** Mean cross-entropy and its gradient with decay, in float64. */
function reference(weight: Float32Array, bias: Float32Array, count: number) {
  const gradient = { weight: new Float64Array(K * C), bias: new Float64Array(K) };
  let loss = 0;
  for (let n = 0; n < count; n++) {
    const logits = Array.from({ length: K }, (_, k) =>
      rowOf(n).reduce((sum, value, c) => sum + value * weight[k * C + c]!, bias[k]!),
    );
    const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
    loss -= (logits[labels[n]!]! - Math.log(total)) / count;
    for (let k = 0; k < K; k++) {
      const slope = (Math.exp(logits[k]!) / total - (labels[n] === k ? 1 : 0)) / count;
      gradient.bias[k]! += slope;
      for (let c = 0; c < C; c++) gradient.weight[k * C + c]! += slope * rowOf(n)[c]!;
    }
  }
  for (let i = 0; i < K * C; i++) gradient.weight[i]! += options.weightDecay * weight[i]!;
  for (let k = 0; k < K; k++) gradient.bias[k]! += options.weightDecay * bias[k]!;
  return { loss, gradient };
}

describe('a linear classifier', () => {
  for (const count of [N, 3]) {
    it(`takes steps on ${count} of at most ${N} images by the mean over them, with decay of weights and biases`, async () => {
      const classifier = await createLinearClassifier(options);
      // A first step on all images: what it leaves in the places of a smaller batch has no effect.
      await classifier.step(rowOf, labels, 0, 0.5);
      const parameters = () => ['weight', 'bias'].map((name) => classifier.weights().get(`head.${name}`)!.data);
      const [weight, bias] = parameters() as [Float32Array, Float32Array];
      const velocity = classifier.state().get('momentum/head.weight')!.data as Float32Array;
      const { loss, gradient } = reference(weight, bias, count);
      const found = await classifier.step(rowOf, labels.subarray(0, count), 1, 0.25);
      assert.ok(Math.abs(found - loss) < 1e-6);
      const [next] = parameters() as [Float32Array, Float32Array];
      for (const [i, value] of next.entries()) {
        const expected = weight[i]! - 0.25 * (0.9 * velocity[i]! + gradient.weight[i]!);
        assert.ok(Math.abs(value - expected) < 1e-6, `${value}, ${expected}`);
      }
      await classifier.close();
    });
  }

  it('starts at N(0, 0.01) weights that the seed decides, and zero biases', async () => {
    const weightsOf = async (seed: number) => {
      const classifier = await createLinearClassifier({ ...options, channels: 64, classes: 50, seed });
      await classifier.close();
      return classifier.weights();
    };
    const [first, again, other] = await Promise.all([weightsOf(1), weightsOf(1), weightsOf(2)]);
    assert.deepEqual(again, first);
    assert.notDeepEqual(other, first);
    const data = first.get('head.weight')!.data as Float32Array;
    const std = Math.sqrt(data.reduce((sum, value) => sum + value * value, 0) / data.length);
    assert.ok(std > 0.0095 && std < 0.0105, String(std));
    assert.ok((first.get('head.bias')!.data as Float32Array).every((value) => value === 0));
  });

  it('rejects more images than a step takes, and none', async () => {
    const classifier = await createLinearClassifier({ ...options, batchSize: 2 });
    await assert.rejects(classifier.step(rowOf, labels, 0, 1), /a step takes 1 to 2 images, not 8/);
    await assert.rejects(classifier.step(rowOf, [], 0, 1), /a step takes 1 to 2 images, not 0/);
    await classifier.close();
  });
});

describe('classRanks', () => {
  it('ranks the true class by the logits; equal ones by their index, and what is not finite last', async () => {
    const weights = new Map([
      ['head.weight', tensor('float32', [3, 1], Float32Array.of(1, -1, 1))],
      ['head.bias', tensor('float32', [3], Float32Array.of(0, 0, 0))],
    ]);
    const vectors = tensor('float32', [5, 1], Float32Array.of(2, 2, -2, -2, Number.NaN));
    const ranks = await classRanks(weights, { vectors, labels: Uint32Array.of(0, 2, 2, 1, 0) });
    assert.deepEqual([...ranks], [0, 1, 2, 0, 3]);
  });
});
