/**
 * Collective operations between the processes (ranks) of a distributed training, as MPI defines them. All ranks call the same
 * operations in the same order; a call resolves when the rank has its result. The event loop is free meanwhile.
 */
export interface Collectives {
  /** Index of this process, 0 .. size - 1. */
  readonly rank: number;
  /** Number of processes. */
  readonly size: number;
  /** Index of this process among those of its machine, and their number: for the choice of a device and of the number of threads. */
  readonly local: { readonly rank: number; readonly size: number };
  /**
   * Gathers equal parts of all ranks, in rank order.
   * @param all [size, ...]: this rank's part stands in its place; the others are filled in. A multiple of `size` elements.
   */
  allGather(all: Elements): Promise<void>;
  /** Replaces the values by their sums over all ranks. Every rank gets the same bits. */
  allReduceSum(values: Float32Array): Promise<void>;
  /** Replaces the values by those of rank 0. */
  broadcast(values: Elements): Promise<void>;
  /** Resolves when all ranks have called it. */
  barrier(): Promise<void>;
  /** Ends all processes at once, also those that wait in an operation. */
  abort(code: number): void;
  /** Leaves the group; no operation may follow. Every rank calls it. */
  close(): Promise<void>;
}

/** Typed arrays of plain numbers. */
export type Elements = Float32Array | Int32Array | BigInt64Array | Uint8Array;

/** The bytes of typed elements, without a copy. */
export const bytesOf = ({ buffer, byteOffset, byteLength }: Elements): Uint8Array =>
  new Uint8Array(buffer, byteOffset, byteLength);

/** The group of one process. */
export const singleProcess: Collectives = {
  rank: 0,
  size: 1,
  local: { rank: 0, size: 1 },
  allGather: async () => undefined,
  allReduceSum: async () => undefined,
  broadcast: async () => undefined,
  barrier: async () => undefined,
  abort: (code) => process.exit(code),
  close: async () => undefined,
};
