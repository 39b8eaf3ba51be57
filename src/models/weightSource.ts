import type { Tensor } from '../tensor/tensor.js';

/** Weights that are read one by one, from a file that may be too large for memory. */
export interface WeightSource {
  /** Shapes by name, under the names of the authors' checkpoints. */
  readonly shapes: ReadonlyMap<string, readonly number[]>;
  /** One weight, row-major. */
  read(name: string): Promise<Tensor>;
}

/** Weights by name: all in memory, or a source that reads them. */
export type Weights = ReadonlyMap<string, Tensor> | WeightSource;

/** Weights in memory as a source. */
export function weightSource(weights: Weights): WeightSource {
  if ('shapes' in weights) return weights;
  return {
    shapes: new Map([...weights].map(([name, { shape }]) => [name, shape])),
    read: async (name) => weights.get(name)!,
  };
}

/** All weights of a source in memory. */
export async function readAllWeights({ shapes, read }: WeightSource): Promise<ReadonlyMap<string, Tensor>> {
  const weights = new Map<string, Tensor>();
  for (const name of shapes.keys()) weights.set(name, await read(name));
  return weights;
}
