import { tensorElements } from '../onnx/elementTypes.js';
import type { ExternalData } from '../onnx/encode.js';
import { readValues } from '../onnx/encode.js';
import type { Graph, Value } from '../onnx/graph.js';
import { encodeHeader } from '../tensor/safetensorsHeader.js';
import { elementBytes, elementCount, type Tensor, type TensorType, tensorBytes } from '../tensor/tensor.js';

/** The file of a model folder that holds the weights; graphs refer to it by offset. */
export const WEIGHTS_FILE = 'weights.safetensors';

/** Smaller constants (factors, shapes, zero points) stay in the graph. */
const SMALLEST_BYTES = 1024;

interface Entry extends TensorType {
  read(): Promise<Tensor>;
}

export interface WeightsFile {
  /** Size of the file. */
  readonly bytes: number;
  /** The bytes of the file, tensor by tensor; every call reads the weights again. */
  content(): AsyncIterable<Uint8Array>;
  /** Offsets of a graph's values in the file. */
  external(kind: string): ExternalData;
}

/**
 * Lays out the weights of graphs as one safetensors file: each parameter once under its name, even if several graphs read
 * it, and the other large constants of a graph (those of int8 and float16 forms) under `graph/name`.
 * @param parameters names of the network's parameters.
 * @param read elements of a parameter that is an input of its graph, as stored.
 */
export function layOutWeights(
  graphs: Readonly<Record<string, Graph>>,
  parameters: ReadonlySet<string>,
  read: (name: string) => Promise<Tensor>,
): WeightsFile {
  const keyOf = (kind: string, { name, constant, shape, dtype }: Value): string | undefined => {
    if (parameters.has(name)) return name;
    if (constant === undefined || dtype === 'int64') return undefined;
    const bytes = elementCount(shape as number[]) * elementBytes(constant.dtype);
    return bytes < SMALLEST_BYTES ? undefined : `${kind}/${name}`;
  };
  const entries = new Map<string, Entry>();
  for (const [kind, graph] of Object.entries(graphs)) {
    for (const value of readValues(graph)) {
      const key = keyOf(kind, value);
      if (key === undefined || entries.has(key)) continue;
      const { dtype, shape, constant } = value;
      entries.set(key, {
        dtype: tensorElements(dtype),
        shape: shape as number[],
        read: constant === undefined ? () => read(key) : async () => constant,
      });
    }
  }
  const { head, ordered, places } = encodeHeader(entries, {});
  const bytes = [...entries.values()].reduce(
    (sum, { dtype, shape }) => sum + elementCount(shape) * elementBytes(dtype),
    head.byteLength,
  );
  return {
    bytes,
    async *content() {
      yield head;
      for (const name of ordered) yield tensorBytes(await entries.get(name)!.read());
    },
    external: (kind) => ({
      location: WEIGHTS_FILE,
      place(value) {
        const key = keyOf(kind, value);
        return key === undefined ? undefined : places.get(key);
      },
    }),
  };
}
