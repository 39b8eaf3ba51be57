import { dict, type Pickled, pickle } from './pickles.js';
import { storedZip, type ZipPart } from './storedZip.js';

/** A file in the format of torch.save (1.6 and later), from a pickled object and its storages. */
export function torchFile(
  saved: Pickled,
  storages: Readonly<Record<string, Uint8Array>>,
  { others = [], zip64 = false }: { readonly others?: readonly ZipPart[]; readonly zip64?: boolean } = {},
): Uint8Array {
  return storedZip(
    [
      { name: 'archive/data.pkl', data: pickle(saved) },
      ...Object.entries(storages).map(([key, data]) => ({ name: `archive/data/${key}`, data })),
      { name: 'archive/version', data: Buffer.from('3\n') },
      ...others,
    ],
    { zip64 },
  );
}

/** A state dict. */
export const stateDict = (tensors: Readonly<Record<string, Pickled>>): Pickled => dict(tensors);

/** Bytes of float32 numbers. */
export const float32Bytes = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
