import type { Nearest, NearestNeighbours, VectorPair } from '../match/nearest.js';
import { openNearestSession, searchNearest } from '../match/tiled/search.js';
import type { InferenceSession } from '../onnx/runtime.js';
import { tensor } from '../tensor/tensor.js';
import type { NamedTensors } from './messageCodec.js';

/** A pair of vector sets as the tensors of a message. */
export function pairTensors({ a, b, channels }: VectorPair): NamedTensors {
  return {
    a: tensor('float32', [a.length / channels, channels], a),
    b: tensor('float32', [b.length / channels, channels], b),
  };
}

/** Two vectors in each set, for a search that only checks the worker. */
export const smallPair: VectorPair = { a: Float32Array.of(1, 0, 0, 1), b: Float32Array.of(0, 1, 1, 0), channels: 2 };

function readPair(tensors: NamedTensors): VectorPair {
  const [a, b] = [tensors['a']!, tensors['b']!];
  return { a: a.data as Float32Array, b: b.data as Float32Array, channels: a.shape[1]! };
}

const numbers = (data: Float64Array) => tensor('float64', [data.length], data);

function sideTensors(side: string, { index, squared, secondSquared }: Nearest): NamedTensors {
  return {
    [`${side}.index`]: tensor('int32', [index.length], index),
    [`${side}.squared`]: numbers(squared),
    [`${side}.secondSquared`]: numbers(secondSquared),
  };
}

/** The result of a search as the tensors of a message. */
function nearestTensors({ fromA, fromB, normsA, normsB }: NearestNeighbours): NamedTensors {
  return {
    ...sideTensors('fromA', fromA),
    ...sideTensors('fromB', fromB),
    normsA: numbers(normsA),
    normsB: numbers(normsB),
  };
}

export function readNearest(tensors: NamedTensors): NearestNeighbours {
  const doubles = (name: string) => tensors[name]!.data as Float64Array;
  const side = (name: string): Nearest => ({
    index: tensors[`${name}.index`]!.data as Int32Array,
    squared: doubles(`${name}.squared`),
    secondSquared: doubles(`${name}.secondSquared`),
  });
  return { fromA: side('fromA'), fromB: side('fromB'), normsA: doubles('normsA'), normsB: doubles('normsB') };
}

/** The search of a worker. Its session is opened with the first search. */
export function createSearch(threads: number) {
  let opening: Promise<InferenceSession> | undefined;
  return {
    async search(pair: NamedTensors, signal: AbortSignal): Promise<NamedTensors> {
      opening ??= openNearestSession(threads).catch((error: unknown) => {
        // The next search tries again: what this one lacked, such as memory, may be there by then.
        opening = undefined;
        throw error;
      });
      return nearestTensors(await searchNearest(await opening, readPair(pair), signal));
    },
    close: async () => (await opening)?.release(),
  };
}
