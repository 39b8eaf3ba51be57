import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { evaluate, floats, normals, numbers, relativeError } from '../../test/support/graphs.js';
import { Graph, TRAINING_OPSET, type Value } from '../onnx/graph.js';
import { elementCount, type Tensor } from '../tensor/tensor.js';
import { backboneChannels, backboneStride, mapCells } from './backbone.js';
import type { BackboneOptions } from './backboneFamily.js';
import { constantParameters, initialise, inputParameters } from './parameters.js';
import { type ResNetConfig, resNet, resNetConfigs } from './resnet.js';

type OnStage = NonNullable<BackboneOptions['onStage']>;
type Outputs = Readonly<Record<string, Value>>;

const tiny: ResNetConfig = { family: 'resnet', block: 'bottleneck', layers: [1, 1, 2, 1], width: 4 };

function emit(config: ResNetConfig, size = 64) {
  const graph = new Graph(TRAINING_OPSET);
  const parameters = inputParameters(graph);
  const map = resNet(graph.input('pixels', 'float32', [2, size, size, 3]), config, parameters);
  return { parameters, map };
}

describe('resNet', () => {
  // torchvision's totals without the classifier of 1,000 classes
  for (const [name, parameters] of [
    ['resnet18', 11_689_512 - 513_000],
    ['resnet34', 21_797_672 - 513_000],
    ['resnet50', 25_557_032 - 2_049_000],
    ['resnet101', 44_549_160 - 2_049_000],
  ] as const) {
    it(`${name} has ${parameters} parameters`, () => {
      const { specs } = emit(resNetConfigs[name]!).parameters;
      assert.equal(
        specs.reduce((sum, { shape }) => sum + elementCount(shape), 0),
        parameters,
      );
    });
  }

  it('names its parameters and running statistics as torchvision does', () => {
    const { specs, buffers } = emit(resNetConfigs['resnet50']!).parameters;
    const shapes = new Map(specs.map(({ name, shape }) => [name, shape]));
    assert.deepEqual(shapes.get('conv1.weight'), [64, 3, 7, 7]);
    assert.deepEqual(shapes.get('layer1.0.conv1.weight'), [64, 64, 1, 1]);
    assert.deepEqual(shapes.get('layer1.0.downsample.0.weight'), [256, 64, 1, 1]);
    assert.deepEqual(shapes.get('layer4.2.conv2.weight'), [512, 512, 3, 3]);
    assert.deepEqual(shapes.get('layer4.2.bn3.bias'), [2048]);
    assert.ok(!shapes.has('layer1.1.downsample.0.weight'));
    // 53 normalisations: the stem, 3 in each of 16 blocks, 4 shortcuts
    assert.equal(buffers.length, 2 * 53);
    assert.ok(buffers.some(({ name, shape }) => name === 'layer2.0.downsample.1.running_var' && shape[0] === 512));
  });

  it('has 2,048 channels, and twice as many where every width is doubled', () => {
    assert.equal(backboneChannels(resNetConfigs['resnet50']!), 2048);
    assert.equal(backboneChannels(resNetConfigs['resnet50x2']!), 4096);
    assert.equal(backboneChannels(resNetConfigs['resnet18']!), 512);
  });

  it('has more cells if stages use dilation instead of stride', () => {
    for (const outputStride of [32, 16, 8] as const) {
      const config = { ...tiny, outputStride };
      assert.equal(backboneStride(config), outputStride);
      for (const size of [96, 64, 65]) {
        const cells = mapCells(config, size);
        assert.deepEqual(emit(config, size).map.shape, [2, cells, cells, 128]);
      }
    }
  });

  it('dilates as torchvision: the first block of a stage keeps the dilation of the stage before', () => {
    const { graph } = emit({ ...tiny, layers: [1, 1, 2, 2], outputStride: 8 }).parameters;
    const dilations = graph.nodes
      .filter((node) => node.operator === 'Conv' && (node.attributes['kernel_shape'] as number[])[0] === 3)
      .map((node) => (node.attributes['dilations'] as number[])[0]);
    assert.deepEqual(dilations, [1, 1, 1, 2, 2, 4]);
  });

  it('initialises its blocks as identities by default', () => {
    const initial = (config: ResNetConfig) =>
      emit(config).parameters.specs.find(({ name }) => name === 'layer3.1.bn3.weight')!.initialiser.kind;
    assert.equal(initial(tiny), 'zeros');
    assert.equal(initial({ ...tiny, zeroInit: false }), 'ones');
  });

  it('computes the same in static and dynamic graphs', async () => {
    const { parameters } = emit({ ...tiny, zeroInit: false });
    const weights = new Map<string, Tensor>(
      [...parameters.specs, ...parameters.buffers].map((spec) => [spec.name, initialise(spec, 3)]),
    );
    const pixels = floats([2, 96, 64, 3], normals([2, 96, 64, 3], 5));
    const forward = (shape: readonly (number | string)[]) =>
      evaluate((feed, graph) => ({ y: resNet(feed(pixels, { shape }), tiny, constantParameters(graph, weights)) }));
    const [fixed, dynamic] = [await forward(pixels.shape), await forward(['batch', 'height', 'width', 3])];
    assert.deepEqual(dynamic.y.shape, [2, 3, 2, 128]);
    assert.ok(relativeError(numbers(fixed.y), numbers(dynamic.y)) < 1e-5);
  });

  it('returns every stage as [B, h, w, C] in both memory layouts', async () => {
    const config: ResNetConfig = { ...tiny, layers: [1, 2, 1, 1], zeroInit: false };
    const { parameters } = emit(config);
    const weights = new Map<string, Tensor>(
      [...parameters.specs, ...parameters.buffers].map((spec) => [spec.name, initialise(spec, 4)]),
    );
    // Different sides and more than one image, so that exchanged axes are detected.
    const pixels = floats([3, 96, 64, 3], normals([3, 96, 64, 3], 6));
    const stages = config.layers.map((_, i) => i + 1);
    for (const training of [false, true]) {
      const run = (
        channelMajor: boolean,
        emitted: (network: (of: ResNetConfig, onStage?: OnStage) => Value) => Outputs,
      ) =>
        evaluate((feed, graph) => {
          const modes = { ...constantParameters(graph, weights), training };
          return emitted((of, onStage) =>
            resNet(feed(pixels), of, modes, { channelMajor, ...(onStage && { onStage }) }),
          );
        }, TRAINING_OPSET);
      // A network that ends after a stage has that stage's map as its last.
      const expected = await run(false, (network) =>
        Object.fromEntries(
          stages.map((stage) => [`stage${stage}`, network({ ...config, layers: config.layers.slice(0, stage) })]),
        ),
      );
      for (const channelMajor of [false, true]) {
        const found = await run(channelMajor, (network) => {
          const outputs: Record<string, Value> = {};
          network(config, (stage, map) => {
            outputs[`stage${stage}`] = map();
          });
          return outputs;
        });
        assert.deepEqual(Object.keys(found).sort(), Object.keys(expected).sort());
        for (const [name, value] of Object.entries(found)) {
          const about = `${name}, training ${training}, channelMajor ${channelMajor}`;
          assert.deepEqual(value.shape, expected[name]!.shape, about);
          const error = relativeError(numbers(value), numbers(expected[name]!));
          assert.ok(error < 1e-5, `${about}: relative error ${error}`);
        }
      }
    }
  });
});
