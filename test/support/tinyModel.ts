import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import onnxProto from 'onnx-proto';
import { type ModelFolder, openModelFolder, writeModelFolder } from '../../src/models/folder.js';
import type { Manifest } from '../../src/models/manifest.js';
import { modelInput, modelOutputs } from '../../src/models/modelOutputs.js';

/**
 * A real model folder of a few kilobytes: normalisation, one strided convolution and a mean, with heads of one MatMul
 * each and random weights; batch, height and width are dynamic, as in exported models.
 */

const { onnx } = onnxProto;
const { DataType } = onnx.TensorProto;
const { AttributeType } = onnx.AttributeProto;

/** Manifest of the tiny model, without its files. */
export const tinyManifest: Omit<Manifest, 'files'> = {
  schemaVersion: 2,
  name: 'tiny',
  version: '1',
  architecture: 'custom',
  depths: [1],
  widths: [16],
  alpha: 0.75,
  stride: 8,
  input: modelInput,
  outputs: modelOutputs({ representation: 16, mapsEmbedding: 12, embedding: 20 }, 8),
  dims: { representation: 16, mapsEmbedding: 12, embedding: 20 },
  heads: { localProjector: [12], expander: [20], norm: 'layer' },
  preprocessing: {
    mean: [0.485, 0.456, 0.406],
    std: [0.229, 0.224, 0.225],
    resize: 64,
    crop: 56,
    interpolation: 'bicubic',
  },
  precision: 'float32',
  compute: 'float32',
  graphs: { backbone: 'backbone.onnx', localProjector: 'local_projector.onnx', expander: 'expander.onnx' },
  license: 'Apache-2.0',
  training: { note: 'random weights, for tests' },
};

/** Uniform numbers in -1..1 from a small linear congruential generator, the same on every machine. */
function randomWeights(count: number, seed: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 31 - 1;
  });
}

function initializer(name: string, dims: number[], data: Float32Array): onnxProto.onnx.ITensorProto {
  return { name, dims, dataType: DataType.FLOAT, rawData: new Uint8Array(data.buffer) };
}

function valueInfo(name: string, elemType: number, dims: (number | string)[]): onnxProto.onnx.IValueInfoProto {
  const dim = dims.map((size) => (typeof size === 'number' ? { dimValue: size } : { dimParam: size }));
  return { name, type: { tensorType: { elemType, shape: { dim } } } };
}

function ints(name: string, values: number[]): onnxProto.onnx.IAttributeProto {
  return { name, type: AttributeType.INTS, ints: values };
}

function encode(graph: onnxProto.onnx.IGraphProto): Uint8Array {
  return onnx.ModelProto.encode({ irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph }).finish();
}

function backboneGraph(channels: number, stride: number, seed: number): Uint8Array {
  const { mean, std } = tinyManifest.preprocessing;
  return encode({
    name: 'backbone',
    input: [valueInfo('images', DataType.UINT8, ['B', 'H', 'W', 3])],
    output: [
      valueInfo('representation', DataType.FLOAT, ['B', channels]),
      valueInfo('maps', DataType.FLOAT, ['B', 'h', 'w', channels]),
    ],
    initializer: [
      initializer(
        'scale',
        [3],
        Float32Array.from(std, (s) => 1 / (255 * s)),
      ),
      initializer(
        'shift',
        [3],
        Float32Array.from(mean, (m, i) => -m / std[i]!),
      ),
      initializer('weight', [channels, 3, stride, stride], randomWeights(channels * 3 * stride ** 2, seed)),
    ],
    node: [
      {
        opType: 'Cast',
        input: ['images'],
        output: ['float'],
        attribute: [{ name: 'to', type: AttributeType.INT, i: 1 }],
      },
      { opType: 'Mul', input: ['float', 'scale'], output: ['scaled'] },
      { opType: 'Add', input: ['scaled', 'shift'], output: ['normal'] },
      { opType: 'Transpose', input: ['normal'], output: ['nchw'], attribute: [ints('perm', [0, 3, 1, 2])] },
      {
        opType: 'Conv',
        input: ['nchw', 'weight'],
        output: ['cells'],
        attribute: [ints('kernel_shape', [stride, stride]), ints('strides', [stride, stride])],
      },
      { opType: 'Transpose', input: ['cells'], output: ['maps'], attribute: [ints('perm', [0, 2, 3, 1])] },
      {
        opType: 'ReduceMean',
        input: ['maps'],
        output: ['representation'],
        attribute: [ints('axes', [1, 2]), { name: 'keepdims', type: AttributeType.INT, i: 0 }],
      },
    ],
  });
}

function headGraph(input: string, output: string, batch: string[], from: number, to: number, seed: number): Uint8Array {
  return encode({
    name: output,
    input: [valueInfo(input, DataType.FLOAT, [...batch, from])],
    output: [valueInfo(output, DataType.FLOAT, [...batch, to])],
    initializer: [initializer('weight', [from, to], randomWeights(from * to, seed))],
    node: [{ opType: 'MatMul', input: [input, 'weight'], output: [output] }],
  });
}

/** Files of the tiny model by name. @param seed seed of the backbone's weights */
export function tinyModelFiles(seed = 1): Map<string, Uint8Array> {
  const { dims, stride } = tinyManifest;
  const cells = ['B', 'h', 'w'];
  return new Map([
    ['backbone.onnx', backboneGraph(dims.representation, stride, seed)],
    ['local_projector.onnx', headGraph('maps', 'maps_embedding', cells, dims.representation, dims.mapsEmbedding!, 2)],
    ['expander.onnx', headGraph('representation', 'embedding', ['B'], dims.representation, dims.embedding!, 3)],
  ]);
}

/** Writes the tiny model to a temporary folder. */
export async function withTinyModel(): Promise<{ readonly folder: ModelFolder; remove(): Promise<void> }> {
  const parent = await mkdtemp(join(tmpdir(), 'vicregl-tiny-'));
  const dir = join(parent, 'tiny');
  await writeModelFolder(dir, tinyManifest, tinyModelFiles());
  return { folder: await openModelFolder(dir), remove: () => rm(parent, { recursive: true, force: true }) };
}
