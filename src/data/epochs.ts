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
  /** Batches per epoch. Without `keepLast`, images that do not fill a batch are dropped; they differ between epochs. */
  readonly stepsPerEpoch: number;
  /** Epoch of a step, from 0. */
  epochOf(step: number): number;
  /** The images of a step, in batch order. */
  slotsOf(step: number): Slot[];
}

/**
 * Batches of `items` images, reshuffled every epoch.
 * @param keepLast whether an epoch ends with a smaller batch if the images do not fill it. Default false.
 */
export function epochs(
  items: number,
  batchSize: number,
  seed: number,
  { keepLast = false }: { readonly keepLast?: boolean } = {},
): Epochs {
  const stepsPerEpoch = keepLast ? Math.ceil(items / batchSize) : Math.floor(items / batchSize);
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
    const length = Math.min(batchSize, items - start);
    return Array.from({ length }, (_, i) => ({ position: start + i, index: order[start + i]! }));
  };
  return { stepsPerEpoch, epochOf, slotsOf };
}
