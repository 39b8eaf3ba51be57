import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { batchNormLayer } from '../nn/batchNorm.js';
import type { Parameters } from '../nn/parameters.js';
import { mul } from '../onnx/ops/elementwise.js';
import { linear } from '../onnx/ops/linear.js';
import { resizeBilinear } from '../onnx/ops/resize.js';
import { concat, reshape } from '../onnx/ops/shape.js';
import { createSession, runSession } from '../onnx/session.js';
import { adamw } from '../optim/adamw.js';
import { sgd } from '../optim/sgd.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { createHeadTrainer, type HeadStep } from './headTrainer.js';
import { IGNORED, pixelCrossEntropy } from './pixelCrossEntropy.js';
import { encodeSegmentationHead, encodeUpsampling, LOGITS_OUTPUT, PIXELS_OUTPUT } from './segmentationGraph.js';
import { emitSegmentationStep, type SegmentationHeadSpec } from './segmentationHead.js';

const [batch, crop, classes] = [3, 32, 4];
const pyramid: SegmentationHeadSpec = {
  maps: [
    { name: 'stage1', channels: 5, stride: 4 },
    { name: 'stage2', channels: 3, stride: 8 },
    { name: 'stage3', channels: 6, stride: 16 },
  ],
  classes,
  dropout: 0,
};
const lastMap: SegmentationHeadSpec = { maps: [{ name: 'maps', channels: 7, stride: 8 }], classes, dropout: 0.1 };
const optimizers = {
  adamw: adamw({ beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.01 }),
  sgd: sgd({ momentum: 0.9, weightDecay: 5e-4, decayVectors: true }),
};

/** The layers in the order of the paper, on resized maps that are formed. */
function plainStep(parameters: Parameters, { maps, dropout }: SegmentationHeadSpec): HeadStep {
  const { graph } = parameters;
  const side = crop / maps[0]!.stride;
  const features = maps.map(({ name, channels, stride }) =>
    resizeBilinear(graph.input(name, 'float32', [batch, crop / stride, crop / stride, channels]), side, side),
  );
  const labels = graph.input('labels', 'uint8', [batch, crop, crop]);
  const joined = concat(features, 3);
  const channels = joined.shape[3] as number;
  const normal = batchNormLayer(joined, parameters, 'bn', 3);
  const kept =
    dropout > 0
      ? mul(normal, reshape(graph.input('dropout', 'float32', [batch, channels]), [batch, 1, 1, channels]))
      : normal;
  const kernel = parameters.get('conv.weight', [classes, channels], { kind: 'normal', std: 0.01 });
  const logits = linear(kept, kernel, parameters.get('conv.bias', [classes], { kind: 'zeros' }));
  return { loss: pixelCrossEntropy(resizeBilinear(logits, crop, crop), labels), logs: {} };
}

function feedsOf({ maps, dropout }: SegmentationHeadSpec, step: number): Map<string, Tensor> {
  const channels = maps.reduce((sum, map) => sum + map.channels, 0);
  const labels = normals([batch, crop, crop], 50 + step).map((value) => {
    const label = Math.floor(value + 2);
    return label < 0 || label >= classes ? IGNORED : label;
  });
  return new Map<string, Tensor>([
    ...maps.map(({ name, channels: own, stride }, i): [string, Tensor] => {
      const shape = [batch, crop / stride, crop / stride, own];
      // Far from 0: a variance by the difference of large squares would be wrong.
      return [
        name,
        floats(
          shape,
          normals(shape, 10 * i + step).map((value) => 30 + 3 * value),
        ),
      ];
    }),
    ['labels', tensor('uint8', [batch, crop, crop], Uint8Array.from(labels))],
    ...(dropout > 0
      ? [
          [
            'dropout',
            floats(
              [batch, channels],
              normals([batch, channels], 7 + step).map((value) => (value < -1 ? 0 : 1 / 0.9)),
            ),
          ] as const,
        ]
      : []),
  ]);
}

describe('the segmentation head', () => {
  for (const [name, spec, optimizer] of [
    ['of several maps', pyramid, optimizers.adamw],
    ['of one map with dropout', lastMap, optimizers.sgd],
  ] as const) {
    it(`${name} trains as resizing, batch normalisation and convolution in that order`, async () => {
      const options = { optimizer, seed: 1, session: { threads: 1 } };
      const trainer = await createHeadTrainer(
        (parameters) => emitSegmentationStep(parameters, spec, { batch, crop }),
        options,
      );
      const plain = await createHeadTrainer((parameters) => plainStep(parameters, spec), options);
      for (let step = 0; step < 4; step++) {
        const feeds = feedsOf(spec, step);
        const { loss } = await trainer.step(feeds, step, 0.05);
        const expected = await plain.step(feeds, step, 0.05);
        assert.ok(Math.abs(loss! - expected['loss']!) < 1e-5, `${loss}, ${expected['loss']}`);
      }
      for (const [parameter, value] of plain.state()) {
        const error = relativeError(numbers(trainer.state().get(parameter)!), numbers(value));
        assert.ok(error < 1e-4, `${parameter}: ${error}`);
      }
      await trainer.close();
      await plain.close();
    });
  }

  it('is exported as a graph of any size that equals its layers in evaluation mode', async () => {
    const trainer = await createHeadTrainer(
      (parameters) => emitSegmentationStep(parameters, pyramid, { batch, crop }),
      {
        optimizer: optimizers.sgd,
        seed: 2,
        session: { threads: 1 },
      },
    );
    for (let step = 0; step < 3; step++) await trainer.step(feedsOf(pyramid, step), step, 0.5);
    const weights = trainer.weights();
    await trainer.close();
    const head = await createSession(encodeSegmentationHead(pyramid, weights), { threads: 1 });
    const upsampling = await createSession(encodeUpsampling(classes, 4), { threads: 1 });
    const maps = new Map<string, Tensor>(
      pyramid.maps.map(({ name, channels, stride }, i) => {
        const shape = [1, 16 / (stride / 4), 8 / (stride / 4), channels];
        return [name, floats(shape, normals(shape, 90 + i))];
      }),
    );
    const logits = (await runSession(head, maps)).get(LOGITS_OUTPUT)!;
    assert.deepEqual(logits.shape, [1, 16, 8, classes]);
    const weight = (name: string) => weights.get(name)!;
    const { expected, pixels } = await evaluate((feed) => {
      const resized = pyramid.maps.map(({ name }) => resizeBilinear(feed(maps.get(name)!), 16, 8));
      const [mean, variance] = [numbers(weight('bn.running_mean')), numbers(weight('bn.running_var'))];
      const [scale, shift] = [numbers(weight('bn.weight')), numbers(weight('bn.bias'))];
      const factor = scale.map((value, c) => value / Math.sqrt(variance[c]! + 1e-5));
      const kernel = numbers(weight('conv.weight')).map((value, i) => value * factor[i % factor.length]!);
      const bias = numbers(weight('conv.bias')).map((value, k) =>
        factor.reduce(
          (sum, f, c) => sum + numbers(weight('conv.weight'))[k * factor.length + c]! * (shift[c]! - mean[c]! * f),
          value,
        ),
      );
      const out = linear(
        concat(resized, 3),
        feed(floats([classes, factor.length], kernel)),
        feed(floats([classes], bias)),
      );
      return { expected: out, pixels: resizeBilinear(out, 64, 32) };
    });
    assert.ok(relativeError(numbers(logits), numbers(expected)) < 1e-5);
    const enlarged = (await runSession(upsampling, { [LOGITS_OUTPUT]: logits as Tensor })).get(PIXELS_OUTPUT)!;
    assert.deepEqual(enlarged.shape, [1, classes, 64, 32]);
    const planar = numbers(enlarged);
    assert.ok(
      relativeError(
        numbers(pixels).map((_, i) => planar[(i % classes) * 64 * 32 + Math.floor(i / classes)]!),
        numbers(pixels),
      ) < 1e-5,
    );
    await head.release();
    await upsampling.release();
  });
});
