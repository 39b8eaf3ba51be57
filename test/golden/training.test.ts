import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { constantParameters } from '../../src/nn/parameters.js';
import { encodeModel } from '../../src/onnx/encode.js';
import { Graph } from '../../src/onnx/graph.js';
import { createSession, runSession } from '../../src/onnx/session.js';
import { readSafetensors } from '../../src/tensor/safetensors.js';
import { type Tensor, tensor, zeros } from '../../src/tensor/tensor.js';
import { ADAMW_STATE, type AdamWConfig, adamwScalars } from '../../src/train/adamw.js';
import { forwardView, type ModelConfig } from '../../src/train/model.js';
import { buildStep, stepNames } from '../../src/train/stepGraph.js';
import { openGolden, relativeError } from './goldenFile.js';

const golden = await openGolden('train_convnext_adamw');
const { tensors: initial } = await readSafetensors('test/golden/train_convnext_adamw.init.safetensors');

const [, depths, widths] = /depths=(\[.*?\]) dims=(\[.*?\])/.exec(golden.text('arch'))!;
const mlpWidths = (name: string) => golden.text(name).split('-').map(Number);
const model: ModelConfig = {
  backbone: { depths: JSON.parse(depths!) as number[], widths: JSON.parse(widths!) as number[] },
  expander: mlpWidths('mlp'),
  localProjector: mlpWidths('maps_mlp'),
};
const optimizer: AdamWConfig = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0.05 };

/** [N, 3, H, W] -> [N, H, W, 3]. */
function channelsLast({ shape, data }: Tensor): Tensor<'float32'> {
  const [n, c, h, w] = shape as [number, number, number, number];
  const out = new Float32Array(data.length);
  for (let i = 0; i < n; i++)
    for (let k = 0; k < c; k++)
      for (let p = 0; p < h * w; p++) out[(i * h * w + p) * c + k] = Number(data[(i * c + k) * h * w + p]);
  return tensor('float32', [n, h, w, c], out);
}

describe('ConvNeXt trained by AdamW', () => {
  it('gives the evaluation forward pass within 1e-4', async (context) => {
    const graph = new Graph();
    const input = channelsLast(golden.tensor('eval.input'));
    const outputs = forwardView(
      graph.input('pixels', 'float32', input.shape),
      model,
      constantParameters(graph, initial),
    );
    graph.output('eval.maps', outputs.maps);
    graph.output('eval.representation', outputs.representation);
    graph.output('eval.embedding', outputs.embedding!);
    graph.output('eval.maps_embedding', outputs.mapsEmbedding!);
    const session = await createSession(encodeModel(graph), { threads: 1 });
    const results = await runSession(session, { pixels: input });
    await session.release();
    for (const [name, value] of results) {
      assert.deepEqual(value.shape, golden.tensor(name).shape);
      const error = relativeError(value.data as Float32Array, golden.numbers(name));
      assert.ok(error <= 1e-4, `${name}: relative error ${error}`);
      context.diagnostic(`${name}: relative error ${error.toExponential(1)}`);
    }
  });

  it('repeats three training steps: logs, first gradients and weights within 1e-3', async (context) => {
    const sizes = golden.setting<number[]>('sizes');
    const viewSizes = golden.setting<number[]>('crops').flatMap((count, i) => Array<number>(count).fill(sizes[i]!));
    const numMatches = golden.setting<[number, number]>('num_matches');
    const lr = golden.setting<number>('lr');
    const classes = initial.get('classifier.weight')!.shape[0]!;
    const { graph, parameters, logs } = buildStep(
      {
        model,
        loss: {
          alpha: golden.setting('alpha'),
          numMatches,
          featureMatches: 'all',
          weights: { invariance: 25, variance: 25, covariance: 1 },
        },
        optimizer,
        batchSize: golden.setting('batch'),
        viewSizes,
        pixels: 'float32',
        dropPath: false,
        classes,
      },
      { gradients: true },
    );
    assert.deepEqual(parameters.map(({ name }) => name).sort(), [...initial.keys()].sort());
    const session = await createSession(encodeModel(graph), { threads: 1 });

    const state = new Map<string, Tensor>();
    for (const { name, shape } of parameters) {
      state.set(name, initial.get(name)!);
      for (const slot of ADAMW_STATE) state.set(stepNames.state(slot, name), zeros('float32', shape));
    }
    // AdamW turns the rounding of a zero gradient into a full step, so such elements are left out (golden README).
    const moving = new Map(
      parameters.map(({ name }) => [name, golden.numbers(`grad.${name}`).map((g) => Math.abs(g) > 1e-6)]),
    );
    const worst = { logs: 0, gradients: 0, weights: 0 };
    let compared = 0;
    let leftOut = 0;

    for (let step = 0; step < golden.setting<number>('steps'); step++) {
      const feeds = new Map(state);
      viewSizes.forEach((_, v) => {
        feeds.set(stepNames.view(v), channelsLast(golden.tensor(`step${step}.view.${v}`)));
        feeds.set(stepNames.locations(v), golden.tensor(`step${step}.locations.${v}`));
      });
      feeds.set(stepNames.labels, golden.tensor(`step${step}.labels`));
      for (const [name, value] of Object.entries(adamwScalars(step, lr, optimizer))) {
        feeds.set(name, tensor('float32', [], Float32Array.of(value)));
      }
      const results = await runSession(session, feeds);

      for (const log of logs) {
        const expected = golden.scalar(`step${step}.log.${log}`);
        const actual = Number(results.get(log)!.data[0]);
        const slack = log === 'corr' || log === 'core' ? 1e-4 : 0;
        const difference = Math.abs(actual - expected);
        assert.ok(
          difference <= 1e-3 * Math.abs(expected) + slack,
          `step ${step} ${log}: ${actual}, expected ${expected}`,
        );
        if (slack === 0 && expected !== 0) worst.logs = Math.max(worst.logs, difference / Math.abs(expected));
      }
      if (step === 0) {
        for (const { name } of parameters) {
          const expected = golden.numbers(`grad.${name}`);
          const actual = results.get(stepNames.gradient(name))!.data as Float32Array;
          const norm = Math.hypot(...expected);
          const difference = Math.hypot(...expected.map((g, i) => g - actual[i]!));
          const tolerance = 1e-3 * norm + 1e-6 * golden.scalar('grad_global_norm');
          worst.gradients = Math.max(worst.gradients, difference / tolerance);
          assert.ok(difference <= tolerance, `gradient of ${name}: ${difference} over ${tolerance}`);
        }
      }
      for (const key of state.keys()) state.set(key, results.get(stepNames.updated(key))!);
      for (const { name } of parameters) {
        const keep = moving.get(name)!;
        const kept = (values: ArrayLike<number | bigint>) => Array.from(values, Number).filter((_, i) => keep[i]);
        const expected = kept(golden.numbers(`step${step}.after.${name}`));
        const actual = kept(state.get(name)!.data as Float32Array);
        compared += expected.length;
        leftOut += keep.length - expected.length;
        if (expected.length === 0) continue;
        const error = relativeError(actual, expected);
        assert.ok(error <= 1e-3, `step ${step} ${name}: relative error ${error}`);
        worst.weights = Math.max(worst.weights, error);
      }
    }
    context.diagnostic(`${compared} weights compared, ${leftOut} left out for a first gradient below 1e-6`);
    context.diagnostic(
      `largest relative errors: logs ${worst.logs.toExponential(1)}, weights ${worst.weights.toExponential(1)}; ` +
        `gradients reach ${worst.gradients.toExponential(1)} of their tolerance`,
    );
    assert.ok(compared > 9 * leftOut);
    await session.release();
  });
});
