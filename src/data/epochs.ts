import { stream } from '../tensor/random.js';

/** One place of a batch: where it stands in its epoch, and which image the epoch's permutation puts there. */
export interface Slot {
  /** Position in the epoch, 0..items-1; with seed and epoch it decides all random draws of the sample. */
  readonly position: number;
  /** Index of the image in the source. */
  readonly index: number;
}

/** Which images make up which step: a pure function of seed and step. */
export interface Epochs {
  /** Batches of one epoch. Without `keepLast`, the images that do not fill a batch are left out (others in each epoch). */
  readonly stepsPerEpoch: number;
  /** Epoch of a step, from 0. */
  epochOf(step: number): number;
  /** The images of a step in the order of the batch. */
  slotsOf(step: number): Slot[];
}

/**
 * Batches of `items` images, shuffled anew every epoch.
 * @param keepLast whether an epoch ends with a smaller batch where the items do not fill the last one. Default false.
 */
export function epochs(
  items: number,
  batchSize: number,
  seed: number,
  { keepLast = false }: { readonly keepLast?: boolean } = {},
): Epochs {
  const stepsPerEpoch = keepLast ? Math.ceil(items / batchSize) : Math.floor(items / batchSize);
  // Prefetching crosses the border between two epochs, so both are held.
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
