import { tensor } from '../tensor/tensor.js';
import { type Checkpoint, MAX_TENSOR_BYTES, type StoredTensor } from './checkpoint.js';
import { CheckpointFileError } from './checkpointFileError.js';
import { elementWidth, toFloat32 } from './elementTypes.js';
import { gather, isContiguous, viewSpan } from './stridedView.js';
import type { TorchStorage, TorchTensor } from './torchObjects.js';

/** Common part of the two formats of torch.save: tensors are views of storages, which are read by offset. */

/** Reads bytes of a storage: `length` bytes from byte `start` on. */
export type ReadStorage = (storage: TorchStorage, start: number, length: number) => Promise<Uint8Array>;

/** Creates the checkpoint of a file. @param name of the file, for errors */
export function torchCheckpoint(
  name: string,
  format: Checkpoint['format'],
  tensors: ReadonlyMap<string, TorchTensor>,
  facts: Checkpoint['facts'],
  readStorage: ReadStorage,
): Checkpoint {
  const stored = new Map<string, StoredTensor>(
    [...tensors].map(([key, { type, view }]) => [key, { type, shape: view.shape }]),
  );
  return {
    format,
    tensors: stored,
    facts,
    async read(key) {
      const found = tensors.get(key);
      if (found === undefined) throw new CheckpointFileError(`${name} contains no tensor "${key}"`);
      const { storage, type, view } = found;
      const span = viewSpan(view);
      const width = elementWidth[type];
      if (span * Math.max(4, width) > MAX_TENSOR_BYTES) {
        throw new CheckpointFileError(`${name}: "${key}" is larger than ${MAX_TENSOR_BYTES / 2 ** 30} GiB`);
      }
      const start = (storage.offset + view.offset) * width;
      const bytes = span === 0 ? new Uint8Array(0) : await readStorage(storage, start, span * width);
      const values = toFloat32(type, bytes, name, key);
      return tensor('float32', view.shape, isContiguous(view) ? values : gather(view, values));
    },
  };
}
