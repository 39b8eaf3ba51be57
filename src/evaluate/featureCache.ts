import { createHash } from 'node:crypto';
import { access, mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import sharp from 'sharp';
import { writeOutput } from '../files/output.js';
import { env } from '../onnx/runtime.js';
import { readSafetensors, SafetensorsError, writeSafetensors } from '../tensor/safetensors.js';
import type { Tensor } from '../tensor/tensor.js';

/** Tensors and their description, as one file of the cache. */
export interface CachedPart {
  readonly tensors: ReadonlyMap<string, Tensor>;
  readonly metadata: Readonly<Record<string, string>>;
}

/**
 * Features that are kept on disk, so that an interrupted evaluation goes on where it stopped and others on the same images
 * need not compute them again. Without a folder nothing is kept.
 */
export interface FeatureCache {
  /** Whether anything is kept: not without a folder. */
  readonly keeps: boolean;
  /**
   * The part of this key from the disk, else computed and kept. Parts are written beside their place and renamed: what is
   * there is whole.
   * @param key all that the part depends on beside the pipeline: who computes it, images, sizes, number of the part.
   * @throws OutputError if the part cannot be written, and what `compute` throws.
   */
  part(key: CacheKey, compute: () => Promise<CachedPart>): Promise<CachedPart>;
  /** Whether a part is there; it may still prove damaged. */
  has(key: CacheKey): Promise<boolean>;
  /** A part that changes while work goes on: how far it has come, to go on from after an interruption. */
  progressOf(key: CacheKey): SavedProgress;
}

/** Who computes features: with equal ones, and of equal images, they are equal. */
export interface ComputedBy {
  /** Of the subject. */
  readonly digest: string;
  /** Of the subject while it runs: the kernels of a CPU and of CUDA round differently. */
  readonly provider: string;
}

export interface CacheKey extends ComputedBy, Readonly<Record<string, unknown>> {
  readonly kind: string;
}

/**
 * To be raised with every change of what features, heads or counts are computed from the same files: of resizing, windows, crops,
 * training, or of what a part holds. A model that was measured before the change is then not compared with a baseline after it.
 */
const PIPELINE_VERSION = 1;

/** Part of every key: another version of ONNX Runtime or of a decoder may give other features. */
const PIPELINE = [PIPELINE_VERSION, env.versions.node, sharp.versions];

export interface SavedProgress {
  /** What was saved last; undefined where nothing was, or the file is damaged. */
  read(): Promise<CachedPart | undefined>;
  /** Replaces it, atomically. @throws OutputError */
  write(part: CachedPart): Promise<void>;
}

/**
 * @param dir folder of the cache, created where it is missing; undefined for none.
 * @param what names the folder in errors
 */
export function featureCache(dir: string | undefined, what = '--cache'): FeatureCache {
  if (dir === undefined) {
    return {
      keeps: false,
      part: (_, compute) => compute(),
      has: async () => false,
      progressOf: () => ({ read: async () => undefined, write: async () => undefined }),
    };
  }
  const placeOf = (key: CacheKey): { readonly folder: string; readonly path: string } => {
    const name = createHash('sha256')
      .update(JSON.stringify([PIPELINE, key]))
      .digest('hex');
    const folder = join(dir, name.slice(0, 2));
    return { folder, path: join(folder, `${name}.safetensors`) };
  };
  const progressOf = (key: CacheKey): SavedProgress => {
    const { folder, path } = placeOf(key);
    return {
      async read() {
        try {
          return await readSafetensors(path);
        } catch (error) {
          // A file that another tool has damaged is computed again.
          if (error instanceof SafetensorsError) await rm(path, { force: true });
          else if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
          return undefined;
        }
      },
      async write({ tensors, metadata }) {
        await writeOutput(what, path, async () => {
          await mkdir(folder, { recursive: true });
          await writeSafetensors(path, tensors, metadata);
        });
      },
    };
  };
  return {
    keeps: true,
    progressOf,
    has: (key) =>
      access(placeOf(key).path).then(
        () => true,
        () => false,
      ),
    async part(key, compute) {
      const saved = progressOf(key);
      const found = await saved.read();
      if (found !== undefined) return found;
      const computed = await compute();
      await saved.write(computed);
      return computed;
    },
  };
}
