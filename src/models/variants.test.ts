import assert from 'node:assert/strict';
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import onnxProto from 'onnx-proto';
import { numbers, relativeError } from '../../test/support/graphs.js';
import { tinyModelConfig, tinyWeights } from '../../test/support/tinyWeights.js';
import { architectureOf, type BackboneConfig } from '../nn/backbone.js';
import { createSession, runSession } from '../onnx/session.js';
import { stream } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { compareModels } from './compareModels.js';
import { exportModel } from './exportModel.js';
import type { ExportOptions } from './exportSource.js';
import { type ModelFolder, openModelFolder } from './folder.js';
import { listModels } from './listModels.js';
import type { Manifest } from './manifest.js';
import { modelSource } from './modelSource.js';
import { readWeights } from './readWeights.js';
import { verifyModel } from './verifyModel.js';
import { readAllWeights, weightSource } from './weightSource.js';

/** Every form of a tiny ConvNeXt (with layer scale) and a tiny ResNet, compared with its float32 form. */

const networks: Readonly<Record<string, BackboneConfig>> = {
  convnext: { ...tinyModelConfig.backbone, layerScale: 1 } as BackboneConfig,
  resnet: { family: 'resnet', block: 'bottleneck', layers: [1, 1, 2, 1], width: 4 },
};

/** Smooth colours with noise, as photographs are: uint8 [1, 64, 96, 3]. */
function image(seed: number): Tensor<'uint8'> {
  const random = stream(seed, 'image');
  const [a, b, phase] = [random.uniform(0.01, 0.2), random.uniform(0.01, 0.2), random.uniform(0, 6)];
  const data = Uint8Array.from({ length: 64 * 96 * 3 }, (_, at) => {
    const pixel = Math.floor(at / 3);
    return (
      128 + 80 * Math.sin(a * (pixel % 96) + b * Math.floor(pixel / 96) + phase + (at % 3)) + random.uniform(-40, 40)
    );
  });
  return tensor('uint8', [1, 64, 96, 3], data);
}
const images = (from: number, count: number) => Array.from({ length: count }, (_, i) => image(from + i));

async function* named(list: readonly Tensor<'uint8'>[]) {
  for (const [i, value] of list.entries()) yield { name: `${i}.jpg`, image: value };
}

async function outputsOf(folder: ModelFolder, input: Tensor<'uint8'>): Promise<Map<string, Tensor>> {
  const session = await createSession(folder.graphPath('backbone')!, { threads: 1 });
  try {
    return await runSession(session, { images: input });
  } finally {
    await session.release();
  }
}

async function operators(folder: ModelFolder): Promise<string[]> {
  const { graph } = onnxProto.onnx.ModelProto.decode(await readFile(folder.graphPath('backbone')!));
  return graph!.node!.map(({ opType }) => opType!);
}

let scratch: string;
before(async () => {
  scratch = await mkdtemp(join(tmpdir(), 'vicregl-variants-'));
});
after(() => rm(scratch, { recursive: true }));

const sourceOf = (name: string, backbone: BackboneConfig, weights: ReadonlyMap<string, Tensor>) => ({
  name,
  version: '1',
  architecture: architectureOf(backbone),
  backbone,
  localProjector: [16, 12],
  alpha: 0.75,
  weights,
  license: 'Apache-2.0',
  training: {},
});

for (const [name, backbone] of Object.entries(networks)) {
  describe(`forms of a ${name}`, () => {
    const weights = tinyWeights({ backbone, localProjector: [16, 12] });
    const write = async (form: string, options: Partial<ExportOptions>, of = weights): Promise<ModelFolder> => {
      const dir = join(scratch, `${name}-${form}`);
      const source = {
        ...sourceOf(form, backbone, of),
        source: { file: 'weights.pth', sha256: '0'.repeat(64) },
        evaluation: { probe: { top1: 12.5 } },
      };
      await exportModel(dir, source, { precision: 'float32', ...options });
      return openModelFolder(dir);
    };
    let float: ModelFolder;
    before(async () => {
      float = await write('float', {});
    });

    it('record inputs, outputs, the origin of the weights, and measurements', () => {
      const { input, outputs, stride, source, evaluation, precision, compute } = float.manifest;
      assert.deepEqual(input, { name: 'images', dtype: 'uint8', shape: ['batch', 'height', 'width', 3] });
      assert.deepEqual(Object.keys(outputs), ['representation', 'maps', 'maps_embedding']);
      assert.equal(outputs['maps']!.stride, stride);
      assert.deepEqual([precision, compute], ['float32', 'float32']);
      assert.deepEqual(source, { file: 'weights.pth', sha256: '0'.repeat(64) });
      assert.deepEqual(evaluation, { probe: { top1: 12.5 } });
    });

    it('with float16 weights are refused where a weight does not fit into float16', async () => {
      const [key, { shape, data }] = [...weights].find(([, value]) => value.shape.length > 1)!;
      const changed = Float32Array.from(data as Float32Array);
      changed[2] = -1e6;
      const large = new Map(weights).set(key, tensor('float32', shape, changed));
      for (const options of [{}, { singleFile: true }, { compute: 'float16' }] as const) {
        await assert.rejects(write('large', { precision: 'float16', ...options }, large), {
          name: 'ParameterError',
          message: `precision: element 2 of ${key} is -1000000, and float16 reaches 65504; use float32`,
        });
      }
      await write('large', {}, large);
    });

    it('with 8 bits agree with the float one on other images, and compute their layers with integers', async () => {
      const integer = await write('int8', {
        quantize: { calibration: images(0, 6), heldOut: images(100, 4), ranges: 'minmax' },
      });
      const comparison = await compareModels(float, integer, named(images(200, 6)), { threads: 1 });
      assert.ok(comparison.representation.worst > 0.995, JSON.stringify(comparison));
      assert.ok(comparison.cells!.mean > 0.99, JSON.stringify(comparison));
      assert.ok(comparison.representation.worst < 1, 'eight bits cannot be exact');
      const { precision, compute, quantization } = integer.manifest;
      assert.deepEqual([precision, compute], ['int8', 'int8']);
      assert.equal(quantization!.images, 6);
      assert.match(quantization!.fingerprint, /^[0-9a-f]{64}$/);
      assert.equal(quantization!.agreement!.images, 4);
      assert.ok(quantization!.agreement!.representation.worst > 0.995);
      assert.deepEqual((await verifyModel(integer.dir)).graphs, ['backbone', 'localProjector']);
      const found = await operators(integer);
      assert.ok(found.includes('QuantizeLinear') && found.includes('DequantizeLinear'));
      assert.ok(!found.includes('LayerNormalization'));
      // The heads take maps without further changes.
      const heads = await Promise.all(
        [float, integer].map(async (folder) => {
          const { maps } = Object.fromEntries(await outputsOf(float, image(300)));
          const session = await createSession(folder.graphPath('localProjector')!, { threads: 1 });
          const outputs = await runSession(session, { maps: maps! });
          await session.release();
          assert.deepEqual(outputs.get('maps_embedding')!.shape, [...maps!.shape.slice(0, 3), 12]);
          return numbers(outputs.get('maps_embedding')!);
        }),
      );
      assert.ok(relativeError(heads[1]!, heads[0]!) < 0.1);
    });

    it('with float16 arithmetic agree within 5e-3, with float32 outputs and norms', async () => {
      const half = await write('half', { compute: 'float16' });
      const [expected, found] = [await outputsOf(float, image(1)), await outputsOf(half, image(1))];
      for (const output of ['representation', 'maps']) {
        assert.equal(found.get(output)!.dtype, 'float32');
        const error = relativeError(numbers(found.get(output)!), numbers(expected.get(output)!));
        assert.ok(error < 5e-3 && error > 0, `${output}: ${error}`);
      }
      assert.deepEqual([half.manifest.precision, half.manifest.compute], ['float16', 'float16']);
      const { graph } = onnxProto.onnx.ModelProto.decode(await readFile(half.graphPath('backbone')!));
      const weightTypes = graph!.initializer!.filter(({ dims }) => dims!.length === 4).map(({ dataType }) => dataType);
      assert.ok(
        weightTypes.length > 3 && weightTypes.every((type) => type === onnxProto.onnx.TensorProto.DataType.FLOAT16),
      );
    });

    it('with the maps of stages list them, give the same last map, and shapes by their strides', async () => {
      const staged = await write('staged', { stages: [4, 1, 2] });
      const outputs = await outputsOf(staged, image(2));
      const { widths } = staged.manifest;
      for (const stage of [1, 2, 4]) {
        const { shape, stride, graph } = staged.manifest.outputs[`stage${stage}`]!;
        assert.equal(graph, 'backbone');
        assert.equal(stride, [4, 8, 16, 32][stage - 1]);
        const found = outputs.get(`stage${stage}`)!;
        assert.deepEqual(found.shape, [1, 64 / stride!, 96 / stride!, widths[stage - 1]]);
        assert.equal(shape[3], widths[stage - 1]);
      }
      assert.equal(staged.manifest.outputs['stage3'], undefined);
      assert.deepEqual(outputs.get('maps'), (await outputsOf(float, image(2))).get('maps'));
      // A ResNet's last map is its last stage; a ConvNeXt's is normalised.
      const same = relativeError(numbers(outputs.get('stage4')!), numbers(outputs.get('maps')!)) === 0;
      assert.equal(same, name === 'resnet');
      await assert.rejects(write('none', { stages: [5] }), {
        name: 'RangeError',
        message: /no stage 5; choose from 1 to 4/,
      });
    });

    it('can be made from a float folder, and equal those made from the weights', async () => {
      const source = await modelSource(float, 'again');
      const read = await readAllWeights(weightSource(source.weights));
      assert.deepEqual([...read.keys()].sort(), [...weights.keys()].sort());
      for (const [key, value] of weights) assert.deepEqual(read.get(key), value, key);
      assert.deepEqual(source.evaluation, { probe: { top1: 12.5 } });
    });
  });
}

describe('output strides', () => {
  const backbone = networks['resnet']!;
  const weights = tinyWeights({ backbone });
  const write = (dir: string, config: BackboneConfig, outputStride: number) =>
    exportModel(
      join(scratch, dir),
      {
        name: dir,
        version: '1',
        architecture: architectureOf(config),
        backbone: config,
        alpha: 1,
        weights,
        license: 'Apache-2.0',
        training: {},
      },
      { precision: 'float32', outputStride, stages: [3, 4] },
    );

  it('of 16 and 8 give finer maps of a ResNet with the same weights', async () => {
    for (const stride of [32, 16, 8]) {
      const manifest = await write(`stride-${stride}`, backbone, stride);
      assert.equal(manifest.stride, stride);
      assert.deepEqual(manifest.outputs['maps']!.stride, stride);
      assert.equal(manifest.outputs['stage3']!.stride, Math.min(16, stride));
      const outputs = await outputsOf(await openModelFolder(join(scratch, `stride-${stride}`)), image(3));
      assert.deepEqual(outputs.get('maps')!.shape, [1, 64 / stride, 96 / stride, 128]);
    }
  });

  it('other than those of the architecture are rejected, and nothing is written', async () => {
    await assert.rejects(write('stride-4', backbone, 4), { name: 'RangeError', message: /stride 4: .* 32, 16 or 8/ });
    await assert.rejects(write('stride-c', networks['convnext']!, 16), {
      name: 'RangeError',
      message: /output stride 16: a ConvNeXt's is 32/,
    });
    assert.ok(!(await listModels([scratch])).some(({ dir }) => /stride-(4|c)$/.test(dir)));
  });
});

describe('forms of a resnet with weights at the edge', () => {
  const backbone = networks['resnet']!;
  const write = async (dir: string, weights: ReadonlyMap<string, Tensor>, options: Partial<ExportOptions>) => {
    await exportModel(join(scratch, dir), sourceOf(dir, backbone, weights), { precision: 'float32', ...options });
    return openModelFolder(join(scratch, dir));
  };
  const changed = (match: RegExp, change: (value: number, i: number) => number) => {
    const weights = tinyWeights({ backbone, localProjector: [16, 12] });
    const names = [...weights.keys()].filter((name) => match.test(name));
    assert.ok(names.length > 0);
    return new Map(
      [...weights].map(([name, value]) => [
        name,
        names.includes(name) ? tensor('float32', value.shape, (value.data as Float32Array).map(change)) : value,
      ]),
    );
  };
  const quantize = { calibration: images(0, 6), heldOut: images(100, 2), ranges: 'minmax' } as const;

  it('keep the bias of channels with very small weights in 8 bits', async () => {
    const dead = changed(/layer\d\.\d\.bn\d\.weight$/, (value, i) => (i % 2 === 0 ? 1e-9 : value));
    const alive = new Map(
      [...dead].map(([name, value]) => [
        name,
        /bn\d\.bias$/.test(name)
          ? tensor('float32', value.shape, new Float32Array(value.data.length).fill(0.7))
          : value,
      ]),
    );
    const float = await write('dead', alive, {});
    const integer = await write('dead-int8', alive, { quantize });
    const { representation, cells } = await compareModels(float, integer, named(images(200, 4)), { threads: 1 });
    assert.ok(representation.worst > 0.995 && cells!.mean > 0.99, JSON.stringify({ representation, cells }));
  });

  it('are refused in float16 arithmetic where a vector does not fit into float16', async () => {
    const large = changed(/^maps_projector\.\d\.bias$/, (value, i) => (i === 2 ? 1e5 : value));
    await assert.rejects(write('large-half', large, { compute: 'float16' }), {
      name: 'ParameterError',
      message:
        /^compute: element 2 of maps_projector\/.* read by Add, is [\d.]+, and float16 reaches 65504; use float32$/,
    });
  });

  it('are refused in 8 bits where an activation is not finite, with the image', async () => {
    const huge = changed(/^maps_projector\.0\.weight$/, () => 3e38);
    await write('huge', huge, {});
    await assert.rejects(write('huge-int8', huge, { quantize }), {
      name: 'ModelFolderError',
      message: /cannot be quantized: with calibration image 1, an element is (-?Infinity|NaN) in the activation "/,
    });
    await assert.rejects(verifyModel(join(scratch, 'huge')), {
      name: 'ModelFolderError',
      message: /local_projector\.onnx: output maps_embedding is not finite/,
    });
  });

  it('without any output but 0 agree with themselves', async () => {
    const zero = changed(/./, () => 0);
    const float = await write('zero', zero, {});
    assert.equal((await verifyModel(float.dir)).check!.difference, 0);
    const { manifest } = await write('zero-int8', zero, { quantize });
    assert.deepEqual(manifest.quantization!.agreement!.representation, { mean: 1, worst: 1 });
    const { representation } = await compareModels(
      float,
      await openModelFolder(join(scratch, 'resnet-float')),
      named(images(0, 2)),
    );
    assert.deepEqual(representation, { mean: 0, worst: 0, worstImage: '0.jpg' });
  });
});

describe('verifyModel, listModels and compareModels', () => {
  let copies = 0;
  /** A copy of a model with an edited manifest. */
  async function edited(of: string, edit: (manifest: Manifest) => void): Promise<string> {
    const dir = join(scratch, `edited-${copies++}`);
    await cp(join(scratch, of), dir, { recursive: true });
    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
    edit(manifest);
    await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
    return dir;
  }

  it('verify by files, graphs and the recorded answer', async () => {
    const { files, graphs, check } = await verifyModel(join(scratch, 'resnet-float'));
    assert.equal(files, 3);
    assert.deepEqual(graphs, ['backbone', 'localProjector']);
    assert.ok(check!.difference <= 1e-5, `${check!.difference}`);
  });

  it('reject a model whose output is not the recorded one', async () => {
    const dir = join(scratch, 'resnet-half');
    const manifest = JSON.parse(await readFile(join(dir, 'manifest.json'), 'utf8'));
    manifest.check.values[3] += manifest.check.norm;
    await writeFile(join(dir, 'manifest.json'), JSON.stringify(manifest));
    await assert.rejects(verifyModel(dir), {
      name: 'ModelFolderError',
      message: /does not compute the output .* allowed 0\.01/,
    });
  });

  it('reject a model that lacks an output which its manifest lists', async () => {
    const dir = await edited('convnext-half', (manifest) => {
      manifest.outputs['stage2'] = { graph: 'backbone', shape: ['batch', 'rows', 'columns', 8], stride: 8 };
    });
    await assert.rejects(verifyModel(dir), { name: 'ModelFolderError', message: /does not give stage2/ });
  });

  it('reject a model whose graphs have other channels or strides than a manifest that agrees with itself', async () => {
    const stride = await edited('convnext-float', (manifest) => {
      manifest.stride = 16;
      for (const name of ['maps', 'maps_embedding']) manifest.outputs[name]!.stride = 16;
    });
    await assert.rejects(verifyModel(stride), {
      name: 'ModelFolderError',
      message: /output maps: it is \[1, 1, 1, 16\] for an input of 48x32, and the manifest describes \[1, 2, 3, 16\]/,
    });
    const channels = await edited('convnext-float', (manifest) => {
      manifest.dims.mapsEmbedding = 13;
      manifest.heads.localProjector = [16, 13];
      manifest.outputs['maps_embedding']!.shape[3] = 13;
    });
    await assert.rejects(verifyModel(channels), {
      name: 'ModelFolderError',
      message: /output maps_embedding: it is \[1, 2, 3, 12\] .* describes \[1, 2, 3, 13\]/,
    });
  });

  it('reject weights that the manifest does not list, wherever they would be read', async () => {
    const dir = await edited('convnext-float', (manifest) => {
      delete manifest.weights;
      delete manifest.files['weights.safetensors'];
    });
    const folder = await openModelFolder(dir);
    const unlisted = {
      name: 'ModelFolderError',
      message: /backbone\.onnx refers to "weights\.safetensors", which its manifest does not list under files/,
    };
    await assert.rejects(verifyModel(dir), unlisted);
    await assert.rejects(readWeights(folder), unlisted);
    await assert.rejects(compareModels(folder, folder, named(images(0, 1))), unlisted);
  });

  it('list folders with a manifest, also those that cannot be read, and no others', async () => {
    await writeFile(join(scratch, 'resnet-half', 'manifest.json'), '{}');
    const found = await listModels([scratch, join(scratch, 'absent')]);
    const half = found.find(({ dir }) => dir.endsWith('resnet-half'))!;
    assert.ok('problem' in half && /not a valid manifest/.test(half.problem));
    assert.ok(found.some((model) => 'manifest' in model && model.manifest.name === 'float'));
  });

  it('reject a comparison of different networks, or without images', async () => {
    const [a, b] = [
      await openModelFolder(join(scratch, 'convnext-float')),
      await openModelFolder(join(scratch, 'resnet-float')),
    ];
    await assert.rejects(compareModels(a, b, named(images(0, 1))), { message: /16 channels and .* 128; only forms/ });
    await assert.rejects(compareModels(a, a, named([])), { message: /no image/ });
  });

  it('reject another form of an int8 model, with the way out', async () => {
    const integer = await openModelFolder(join(scratch, 'convnext-int8'));
    await assert.rejects(readWeights(integer), { name: 'ModelFolderError', message: /int8.*give the float model/ });
  });
});
