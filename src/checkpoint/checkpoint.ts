import type { Tensor } from '../tensor/tensor.js';
import type { ElementType } from './elementTypes.js';

/** Formats that checkpoints come in. */
export type CheckpointFormat = 'pytorch' | 'pytorch-legacy' | 'safetensors';

/** One tensor may not take more; ConvNeXt-XL's largest has 64 MiB, the authors' largest expander layer 256. */
export const MAX_TENSOR_BYTES = 2 ** 31;

/** A tensor of a checkpoint whose elements have not been read. */
export interface StoredTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** An open checkpoint: its names and shapes are known, its elements stay in the file until they are asked for. */
export interface Checkpoint {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** What stands beside the weights in numbers and text, such as the epoch. */
  readonly facts: Readonly<Record<string, number | string>>;
  /**
   * Reads one tensor as float32, row-major.
   * @throws CheckpointFileError for an unknown name, a type that holds no floating-point numbers, or damaged bytes.
   */
  read(name: string): Promise<Tensor<'float32'>>;
}
