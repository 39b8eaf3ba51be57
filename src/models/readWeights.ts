import { open, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import onnxProto from 'onnx-proto';
import { float16ToFloat32 } from '../tensor/float16.js';
import { type Tensor, tensor, tensorFromBytes } from '../tensor/tensor.js';
import type { GraphKind, ModelFolder } from './folder.js';
import { ModelFolderError } from './modelFolderError.js';

const { onnx } = onnxProto;
const { DataType } = onnx.TensorProto;

/** Parameter names; other constants belong to the graph (a scope with a / before the name), not to the weights. */
const PARAMETER = /^(backbone|projector|maps_projector)\.[\w.]+$/;
const KINDS: readonly GraphKind[] = ['backbone', 'localProjector', 'expander'];

/** The bytes of an initializer: inside the graph's file, or at an offset of another file of the folder. */
async function initializerBytes(value: onnxProto.onnx.ITensorProto, path: string): Promise<Uint8Array> {
  if (value.rawData && value.rawData.length > 0) return value.rawData;
  const external = new Map(value.externalData?.map((entry) => [entry.key, entry.value]));
  const location = external.get('location');
  if (!location) return new Uint8Array(0);
  const length = Number(external.get('length') ?? 0);
  const bytes = new Uint8Array(length);
  const file = await open(join(dirname(path), location), 'r');
  try {
    await file.read(bytes, 0, length, Number(external.get('offset') ?? 0));
  } finally {
    await file.close();
  }
  return bytes;
}

async function readTensor(value: onnxProto.onnx.ITensorProto, path: string): Promise<Tensor<'float32'>> {
  const shape = value.dims!.map(Number);
  const bytes = await initializerBytes(value, path);
  if (value.dataType === DataType.FLOAT) return tensorFromBytes('float32', shape, bytes);
  if (value.dataType === DataType.FLOAT16) {
    return tensor('float32', shape, float16ToFloat32(tensorFromBytes('float16', shape, bytes).data));
  }
  throw new ModelFolderError(`${path}: the weight "${value.name}" is of ONNX type ${value.dataType}, not float`);
}

/**
 * Reads the weights of a model folder's graphs as float32 under the names of the authors' checkpoints.
 * @throws ModelFolderError for a model whose graphs do not hold its weights by name (int8, or float16 arithmetic): other
 *   forms are made of the float model.
 */
export async function readWeights(folder: ModelFolder): Promise<ReadonlyMap<string, Tensor<'float32'>>> {
  const { manifest } = folder;
  if (manifest.compute !== 'float32') {
    throw new ModelFolderError(
      `${folder.dir} computes in ${manifest.compute}, and its weights cannot be had from it; give the float model that it was made of`,
    );
  }
  const weights = new Map<string, Tensor<'float32'>>();
  for (const kind of KINDS) {
    const path = folder.graphPath(kind);
    if (path === undefined) continue;
    const { graph } = onnx.ModelProto.decode(await readFile(path));
    for (const value of graph?.initializer ?? []) {
      if (value.name && PARAMETER.test(value.name)) weights.set(value.name, await readTensor(value, path));
    }
  }
  return weights;
}
