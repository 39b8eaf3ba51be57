import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { Graph } from '../onnx/graph.js';
import type { Shape } from '../onnx/shapes.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import { backboneStride, dropPathBlocks } from './backbone.js';
import { type ConvNextConfig, convNext, convNextConfigs } from './convnext.js';
import { dropPathFrom, keepProbabilities } from './dropPath.js';
import { constantParameters, type Initialiser, initialise, inputParameters } from './parameters.js';

function specsOf(config: ConvNextConfig) {
  const graph = new Graph();
  const parameters = inputParameters(graph);
  const stride = backboneStride(config);
  convNext(graph.input('pixels', 'float32', [1, stride, stride, 3]), config, parameters);
  return parameters.specs;
}

/** Names and shapes of the authors' ConvNeXt, from its naming rules. */
function namesAndShapes({ depths, widths }: ConvNextConfig): [string, number[]][] {
  const layer = (name: string, ...weight: number[]): [string, number[]][] => [
    [`${name}.weight`, weight],
    [`${name}.bias`, [weight[0]!]],
  ];
  return [
    ...widths.flatMap((width, stage) => [
      ...(stage === 0
        ? [...layer('downsample_layers.0.0', width, 3, 4, 4), ...layer('downsample_layers.0.1', width)]
        : [
            ...layer(`downsample_layers.${stage}.0`, widths[stage - 1]!),
            ...layer(`downsample_layers.${stage}.1`, width, widths[stage - 1]!, 2, 2),
          ]),
      ...Array.from({ length: depths[stage]! }, (_, depth) => `stages.${stage}.${depth}`).flatMap((block) => [
        ...layer(`${block}.dwconv`, width, 1, 7, 7),
        ...layer(`${block}.norm`, width),
        ...layer(`${block}.pwconv1`, 4 * width, width),
        ...layer(`${block}.pwconv2`, width, 4 * width),
      ]),
    ]),
    ...layer('norm', widths.at(-1)!),
  ];
}

const tiny: ConvNextConfig = { family: 'convnext', depths: [1, 1, 1, 1], widths: [8, 8, 16, 16] };

function tinyWeights(): Map<string, Tensor> {
  // Far from the initial values: branches are as large as what they are added to, and no bias is zero.
  return new Map(
    specsOf(tiny).map(({ name, shape }, i) => {
      const scale = shape.length > 1 ? 1 / Math.sqrt(elementCount(shape.slice(1))) : 0.2;
      const shift = name.includes('norm') && name.endsWith('weight') ? 1 : 0;
      return [
        name,
        floats(
          shape,
          normals(shape, i).map((value) => scale * value + shift),
        ),
      ];
    }),
  );
}

describe('ConvNeXt', () => {
  for (const name of ['convnext_atto', 'convnext_tiny', 'convnext_base'] as const) {
    it(`${name} has the parameters of the authors' checkpoints`, () => {
      const config = convNextConfigs[name]!;
      const found = specsOf(config).map((spec) => [spec.name, [...spec.shape]]);
      assert.deepEqual(new Map(found as [string, number[]][]), new Map(namesAndShapes(config)));
      assert.equal(found.length, namesAndShapes(config).length);
    });
  }

  it('has the published numbers of parameters, without classifier and layer scale', () => {
    const complete = (config: ConvNextConfig) => {
      const own = specsOf(config).reduce((sum, { shape }) => sum + elementCount(shape), 0);
      const classifier = 1000 * config.widths.at(-1)! + 1000;
      const layerScale = config.depths.reduce((sum, depth, stage) => sum + depth * config.widths[stage]!, 0);
      return own + classifier + layerScale;
    };
    // Exact counts of torchvision's documentation, and timm's in millions.
    const exact = { convnext_tiny: 28_589_128, convnext_small: 50_223_688, convnext_base: 88_591_464 };
    for (const [name, count] of Object.entries(exact)) assert.equal(complete(convNextConfigs[name]!), count, name);
    // With layer scale the count includes it.
    const scaled = specsOf({ ...convNextConfigs['convnext_tiny']!, layerScale: 1e-6 });
    const own = scaled.reduce((sum, { shape }) => sum + elementCount(shape), 0);
    assert.equal(own + 1000 * 768 + 1000, exact.convnext_tiny);
    const millions = { convnext_atto: 3.7, convnext_femto: 5.22, convnext_pico: 9.05, convnext_nano: 15.59 };
    for (const [name, count] of Object.entries(millions)) {
      assert.ok(Math.abs(complete(convNextConfigs[name]!) / 1e6 - count) <= 0.005, name);
    }
  });

  it('computes the same map with static shapes (training) and dynamic ones (export)', async () => {
    const weights = tinyWeights();
    // the second size has remainders at every stage
    for (const [height, width, rows, columns] of [
      [64, 64, 2, 2],
      [103, 77, 3, 2],
    ] as const) {
      const pixels = floats([2, height, width, 3], normals([2, height, width, 3], 77));
      const forward = (shape: Shape) =>
        evaluate((feed, graph) => ({
          y: convNext(feed(pixels, { shape }), tiny, constantParameters(graph, weights)),
        }));
      const fixed = await forward(pixels.shape);
      const dynamic = await forward(['batch', 'height', 'width', 3]);
      assert.deepEqual(fixed.y.shape, [2, rows, columns, 16]);
      assert.deepEqual(dynamic.y.shape, [2, rows, columns, 16]);
      const error = relativeError(numbers(fixed.y), numbers(dynamic.y));
      assert.ok(error < 1e-5, `${height} x ${width}: relative error ${error}`);
    }
  });

  it('starts with truncated normal kernels of deviation .02, zero biases, and norms of one and zero', () => {
    for (const { name, shape, initialiser } of specsOf(tiny)) {
      const isNorm = /norm|downsample_layers\.(0\.1|[1-3]\.0)/.test(name);
      const expected: Initialiser =
        shape.length > 1
          ? { kind: 'truncatedNormal', std: 0.02 }
          : { kind: isNorm && name.endsWith('weight') ? 'ones' : 'zeros' };
      assert.deepEqual(initialiser, expected, name);
    }
  });

  it('has stride 32 with four stages, and counts its blocks', () => {
    assert.equal(backboneStride(tiny), 32);
    assert.equal(backboneStride({ family: 'convnext', depths: [1, 1], widths: [4, 4] }), 8);
    assert.equal(dropPathBlocks(convNextConfigs['convnext_atto']!), 12);
  });
});

describe('layer scale', () => {
  it('multiplies each branch by its gamma, which equals scaling the last layer of the branch', async () => {
    const weights = tinyWeights();
    const scaled = new Map(weights);
    const folded = new Map(weights);
    const config = { ...tiny, layerScale: 0.3 };
    const gammas = specsOf(config).filter(({ name }) => name.endsWith('.gamma'));
    assert.deepEqual(
      gammas.map(({ name, shape }) => [name, ...shape]),
      tiny.widths.map((width, stage) => [`stages.${stage}.0.gamma`, width]),
    );
    for (const [i, spec] of gammas.entries()) {
      assert.deepEqual([...new Set(initialise(spec, 0).data)], [Math.fround(0.3)]);
      const gamma = normals(spec.shape, 200 + i);
      scaled.set(spec.name, floats(spec.shape, gamma));
      for (const part of ['weight', 'bias']) {
        const name = spec.name.replace('gamma', `pwconv2.${part}`);
        const { shape, data } = weights.get(name)!;
        const row = data.length / gamma.length;
        folded.set(
          name,
          floats(
            shape,
            Array.from(data as Float32Array, (v, k) => v * gamma[Math.floor(k / row)]!),
          ),
        );
      }
    }
    const pixels = floats([2, 64, 64, 3], normals([2, 64, 64, 3], 80));
    const forward = async (network: ConvNextConfig, from: ReadonlyMap<string, Tensor>) =>
      numbers(
        (await evaluate((feed, graph) => ({ y: convNext(feed(pixels), network, constantParameters(graph, from)) }))).y,
      );
    const actual = await forward(config, scaled);
    assert.ok(relativeError(actual, await forward(tiny, folded)) < 1e-5);
    assert.ok(relativeError(actual, await forward(tiny, weights)) > 0.1);
  });
});

describe('drop path', () => {
  it('keeps every image in the first block and fewest in the last, in even steps', () => {
    const keep = keepProbabilities(5, 0.4);
    keep.forEach((probability, i) => {
      assert.ok(Math.abs(probability - [1, 0.9, 0.8, 0.7, 0.6][i]!) < 1e-12);
    });
    assert.equal(keep.length, 5);
  });

  it('keeps everything at rate 0, and in a single block', () => {
    assert.deepEqual(keepProbabilities(4, 0), [1, 1, 1, 1]);
    assert.deepEqual(keepProbabilities(1, 0.5), [1]);
  });

  it('scales each residual branch: a scale of 1 changes nothing, and 0 skips the block', async () => {
    const weights = tinyWeights();
    const pixels = floats([2, 32, 32, 3], normals([2, 32, 32, 3], 78));
    const forward = async (config: ConvNextConfig, scales?: readonly number[]) => {
      const { y } = await evaluate((feed, graph) => {
        const dropPath = scales && dropPathFrom(scales.map((scale) => feed(floats([2, 1, 1, 1], [scale, scale]))));
        return {
          y: convNext(feed(pixels), config, constantParameters(graph, weights), { ...(dropPath && { dropPath }) }),
        };
      });
      return numbers(y);
    };
    const whole = await forward(tiny);
    assert.deepEqual(await forward(tiny, [1, 1, 1, 1]), whole);
    assert.deepEqual(await forward(tiny, [1, 1, 0, 1]), await forward({ ...tiny, depths: [1, 1, 0, 1] }, [1, 1, 1]));
    assert.notDeepEqual(await forward(tiny, [1, 1, 2, 1]), whole);
  });

  it('decides for each image separately', async () => {
    const weights = tinyWeights();
    const image = normals([1, 32, 32, 3], 79);
    const pixels = floats([2, 32, 32, 3], [...image, ...image]);
    const { y } = await evaluate((feed, graph) => {
      const scales = [0, 1, 2, 3].map((block) => feed(floats([2, 1, 1, 1], block === 1 ? [0, 1] : [1, 1])));
      return {
        y: convNext(feed(pixels), tiny, constantParameters(graph, weights), { dropPath: dropPathFrom(scales) }),
      };
    });
    const values = numbers(y);
    assert.notDeepEqual(values.slice(0, 16), values.slice(16));
  });
});
