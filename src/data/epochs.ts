import { stream } from '../tensor/random.js';

/** One element of a batch: its position in the epoch, and the image that the epoch's permutation assigns to it. */
export interface Slot {
  /** Position in the epoch, 0..items-1. Together with seed and epoch, it determines all random draws of the sample. */
  readonly position: number;
  /** Index of the image in the source. */
  readonly index: number;
}

/** Assigns images to steps, as a pure function of seed and step. */
export interface Epochs {
  /** Full batches per epoch. The rest of the permutation is dropped; it differs between epochs. */
  readonly stepsPerEpoch: number;
  /** Epoch of a step, from 0. */
  epochOf(step: number): number;
  /** The images of a step, in batch order. */
  slotsOf(step: number): Slot[];
}

/** Batches of `items` images, reshuffled every epoch. */
export function epochs(items: number, batchSize: number, seed: number): Epochs {
  const stepsPerEpoch = Math.floor(items / batchSize);
  // Prefetching crosses epoch boundaries, so two permutations are cached.
  const permutations = new Map<number, Uint32Array>();
  const permutationOf = (epoch: number): Uint32Array => {
    let order = permutations.get(epoch);
    if (order === undefined) {
      order = stream(seed, 'epoch', epoch).permutation(items);
      if (permutations.size >= 2) permutations.delete(permutations.keys().next().value!);
      permutations.set(epoch, order);
    }
    return order;
  };
  const epochOf = (step: number): number => Math.floor(step / stepsPerEpoch);
  const slotsOf = (step: number): Slot[] => {
    const order = permutationOf(epochOf(step));
    const start = (step % stepsPerEpoch) * batchSize;
    return Array.from({ length: batchSize }, (_, i) => ({ position: start + i, index: order[start + i]! }));
  };
  return { stepsPerEpoch, epochOf, slotsOf };
}
