import { createHash } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { readSafetensors, SafetensorsError, writeSafetensors } from '../tensor/safetensors.js';
import type { CachedPart } from './featureCache.js';

/** The state of work that is saved again and again, so that it can go on after it was killed. */
export interface SavedState {
  /** The newest state, or undefined where there is none. */
  read(): Promise<CachedPart | undefined>;
  /** Replaces it, atomically. */
  write(state: CachedPart): Promise<void>;
}

/**
 * @param dir folder of `--cache`; undefined for work that is not saved
 * @param key all that the work depends on: equal keys must give equal results
 */
export function savedState(dir: string | undefined, key: Readonly<Record<string, unknown>>): SavedState {
  if (dir === undefined) return { read: async () => undefined, write: async () => undefined };
  const name = createHash('sha256').update(JSON.stringify(key)).digest('hex');
  const folder = join(dir, name.slice(0, 2));
  const path = join(folder, `${name}.state.safetensors`);
  return {
    async read() {
      try {
        return await readSafetensors(path);
      } catch (error) {
        // A file that another tool has damaged: the work begins again.
        if (error instanceof SafetensorsError) await rm(path, { force: true });
        else if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
        return undefined;
      }
    },
    async write({ tensors, metadata }) {
      await mkdir(folder, { recursive: true });
      await writeSafetensors(path, tensors, metadata);
    },
  };
}
