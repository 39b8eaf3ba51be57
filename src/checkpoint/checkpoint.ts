import type { Tensor } from '../tensor/tensor.js';
import type { ElementType } from './elementTypes.js';

/** Formats of checkpoint files. */
export type CheckpointFormat = 'pytorch' | 'pytorch-legacy' | 'safetensors';

/** Maximum bytes of one tensor. The largest of ConvNeXt-XL has 64 MiB, the authors' largest expander layer 256 MiB. */
export const MAX_TENSOR_BYTES = 2 ** 31;

/** A tensor of a checkpoint, without its elements. */
export interface StoredTensor {
  readonly type: ElementType;
  readonly shape: readonly number[];
}

/** An open checkpoint. Names and shapes are in memory; the elements of a tensor are read on request. */
export interface Checkpoint {
  readonly format: CheckpointFormat;
  readonly tensors: ReadonlyMap<string, StoredTensor>;
  /** Numbers and text that are saved with the weights, such as the epoch. */
  readonly facts: Readonly<Record<string, number | string>>;
  /**
   * Reads one tensor as float32, row-major.
   * @throws CheckpointFileError for an unknown name, a type other than real floating-point numbers, or damaged bytes.
   */
  read(name: string): Promise<Tensor<'float32'>>;
}
