import { createHash } from 'node:crypto';
import { readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Orientation } from '../image/orientation.js';
import { readSafetensors, writeSafetensors } from '../tensor/safetensors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { ImageFeatures } from './features.js';

/** Everything but the numbers. */
type Place = Omit<ImageFeatures, 'descriptors' | 'norms' | 'global'>;

/**
 * Features that are not in the HDF5 file yet, a file for each image. HDF5 has no transactions: a process that is killed while it
 * appends leaves a file that cannot be opened. So the file is written at once, when the features of all images are there.
 */
export interface FeatureParts {
  /** Whether the features of an image are there. */
  has(name: string): boolean;
  /** Writes the features of an image; they are there only when all of them are on the disk. */
  write(name: string, features: ImageFeatures): Promise<void>;
  /** @throws the file system's error, or SafetensorsError for a damaged file */
  read(name: string): Promise<ImageFeatures>;
  /** Removes all. */
  clear(): Promise<void>;
}

/** A name without separators or of any length, by which an image's file is found. */
const fileOf = (name: string): string => `${createHash('sha256').update(name).digest('hex').slice(0, 32)}.safetensors`;

/** Opens the parts in an existing folder, which holds nothing else. Remains of files that were being written are removed. */
export async function openFeatureParts(folder: string): Promise<FeatureParts> {
  const there = new Set<string>();
  for (const file of await readdir(folder)) {
    if (file.endsWith('.safetensors')) there.add(file);
    else await rm(join(folder, file), { force: true });
  }
  return {
    has: (name) => there.has(fileOf(name)),
    async write(name, { descriptors, norms, global, ...place }) {
      const { rows, columns, channels } = place;
      const tensors = new Map<string, Tensor>([
        ['descriptors', tensor('float32', [rows * columns, channels], descriptors)],
        ['norms', tensor('float32', [norms.length], norms)],
      ]);
      if (global) tensors.set('global', tensor('float32', [global.length], global));
      await writeSafetensors(join(folder, fileOf(name)), tensors, { place: JSON.stringify(place satisfies Place) });
      there.add(fileOf(name));
    },
    async read(name) {
      const { tensors, metadata } = await readSafetensors(join(folder, fileOf(name)));
      const place = JSON.parse(metadata['place']!) as Place & { orientation: Orientation };
      const numbers = (key: string) => tensors.get(key)?.data as Float32Array;
      const global = numbers('global');
      return { ...place, descriptors: numbers('descriptors'), norms: numbers('norms'), ...(global && { global }) };
    },
    async clear() {
      for (const file of there) await rm(join(folder, file), { force: true });
      there.clear();
    },
  };
}
