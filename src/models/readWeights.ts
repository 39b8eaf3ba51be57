import { dirname, join } from 'node:path';
import onnxProto from 'onnx-proto';
import { openFileSource } from '../checkpoint/byteSource.js';
import { float16ToFloat32 } from '../tensor/float16.js';
import { type Tensor, tensor, tensorFromBytes } from '../tensor/tensor.js';
import { graphKinds, type ModelFolder } from './folder.js';
import { readListedGraph } from './listedData.js';
import { ModelFolderError } from './modelFolderError.js';
import type { WeightSource } from './weightSource.js';

const { onnx } = onnxProto;
const { DataType, DataLocation } = onnx.TensorProto;

/** Matches parameter names. Other constants of a graph (named by a scope with a /) are not weights. */
const PARAMETER = /^(backbone|projector|maps_projector|classifier)\.[\w.]+$/;

type Initializer = onnxProto.onnx.ITensorProto;

/** The bytes of an initializer: inside the graph's file, or at an offset of another file of the folder. */
async function initializerBytes(value: Initializer, path: string): Promise<Uint8Array> {
  if (value.dataLocation !== DataLocation.EXTERNAL) return value.rawData ?? new Uint8Array(0);
  const entries = new Map(value.externalData?.map((entry) => [entry.key, entry.value]));
  // Listed in the manifest (readListedGraph), so it is a plain name inside the folder.
  const source = await openFileSource(join(dirname(path), entries.get('location')!));
  try {
    return await source.read(Number(entries.get('offset') ?? 0), Number(entries.get('length') ?? 0));
  } finally {
    await source.close();
  }
}

async function readTensor(value: Initializer, path: string): Promise<Tensor<'float32'>> {
  const shape = value.dims!.map(Number);
  const bytes = await initializerBytes(value, path);
  if (value.dataType === DataType.FLOAT) return tensorFromBytes('float32', shape, bytes);
  if (value.dataType === DataType.FLOAT16) {
    return tensor('float32', shape, float16ToFloat32(tensorFromBytes('float16', shape, bytes).data));
  }
  throw new ModelFolderError(`${path}: the weight "${value.name}" is of ONNX type ${value.dataType}, not float`);
}

/**
 * The weights of a model folder's graphs, as float32 under the names of the authors' checkpoints. Each is read on demand.
 * @throws ModelFolderError for a model whose graphs do not hold the weights by name (int8, or float16 arithmetic), or hold them in a
 *   file that the manifest does not list.
 */
export async function readWeights(folder: ModelFolder): Promise<WeightSource> {
  const { manifest } = folder;
  if (manifest.compute !== 'float32') {
    throw new ModelFolderError(
      `${folder.dir} computes in ${manifest.compute}, and its weights cannot be read from it; give the float model that it was made from`,
    );
  }
  const found = new Map<string, { readonly value: Initializer; readonly path: string }>();
  for (const kind of graphKinds) {
    const path = folder.graphPath(kind);
    if (path === undefined) continue;
    const { graph } = onnx.ModelProto.decode(await readListedGraph(folder, kind));
    for (const value of graph?.initializer ?? []) {
      if (value.name && PARAMETER.test(value.name)) found.set(value.name, { value, path });
    }
  }
  return {
    shapes: new Map([...found].map(([name, { value }]) => [name, value.dims!.map(Number)])),
    read(name) {
      const { value, path } = found.get(name)!;
      return readTensor(value, path);
    },
  };
}
