import { dict, int, list, long, type Pickled, pickle, str, yes } from './pickles.js';
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

/** A file in the format of torch.save before 1.6, from a pickled object and its storages of float32. */
export function legacyTorchFile(saved: Pickled, storages: Readonly<Record<string, readonly number[]>>): Uint8Array {
  const stored = Object.values(storages).flatMap((values) => {
    const count = Buffer.alloc(8);
    count.writeBigInt64LE(BigInt(values.length));
    return [count, float32Bytes(...values)];
  });
  return Buffer.concat([
    pickle(long(0x1950a86a20f9469cfc6cn)),
    pickle(int(1001)),
    pickle(dict({ little_endian: yes })),
    pickle(saved),
    pickle(list(...Object.keys(storages).map(str))),
    ...stored,
  ]);
}

/** A state dict. */
export const stateDict = (tensors: Readonly<Record<string, Pickled>>): Pickled => dict(tensors);

/** Bytes of float32 numbers. */
export const float32Bytes = (...values: number[]): Uint8Array => new Uint8Array(Float32Array.from(values).buffer);
