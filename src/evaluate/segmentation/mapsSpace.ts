import { mkdir, rm, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { DataError } from '../../data/dataError.js';
import { type ComputedBy, type FeatureCache, featureCache } from '../featureCache.js';
import { type FrozenMapsOptions, frozenMapsBytes, missingMapsBytes } from './frozenMaps.js';
import type { CheckedPair } from './segmentationData.js';

/** Where the maps of the training images are kept, and whether there is space for them. */

/** A subject whose maps are to be kept. */
export interface MapsSubject extends ComputedBy, Pick<FrozenMapsOptions, 'maps'> {
  /** Of its coarsest map, in pixels. */
  readonly stride: number;
}

export interface MapsSpaceOptions
  extends Pick<FrozenMapsOptions, 'window' | 'shortest' | 'crop' | 'flip' | 'memoryBytes'> {
  /** Folder of `--cache`; undefined for none. */
  readonly cacheDir: string | undefined;
  /** Temporary folder for maps that do not fit into memory, where there is no cache. */
  readonly scratch: string;
}

export interface MapsPlace {
  readonly cache: FeatureCache;
  /** Removes what is temporary. */
  clear(): Promise<void>;
}

const gigabytes = (bytes: number): string => (bytes / 1e9).toFixed(1);

const scratchOf = ({ scratch }: MapsSpaceOptions): string => join(scratch, 'maps');

/** Where the maps of a subject are kept: in the cache, or in the temporary folder if they do not fit into memory. */
export function mapsPlace(subject: MapsSubject, train: readonly CheckedPair[], options: MapsSpaceOptions): MapsPlace {
  const { cacheDir, memoryBytes } = options;
  const inMemory = frozenMapsBytes(train, { ...options, ...subject }, subject.stride) <= memoryBytes;
  if (cacheDir !== undefined || inMemory) return { cache: featureCache(cacheDir), clear: async () => undefined };
  const dir = join(scratchOf(options), subject.digest);
  return {
    cache: featureCache(dir, 'the temporary folder'),
    clear: () => rm(dir, { recursive: true, force: true }),
  };
}

async function freeBytesOf(dir: string): Promise<number> {
  const { bavail, bsize } = await statfs(dir);
  return bavail * bsize;
}

/**
 * Checks that there is space for the maps of all subjects that are measured one after the other. In the cache they stay, and those
 * that are there already take none; temporary ones of a subject are removed before the next one is measured.
 * @throws DataError `bad_option` if the maps do not fit on the disk.
 */
export async function requireMapsSpace(
  subjects: readonly MapsSubject[],
  train: readonly CheckedPair[],
  options: MapsSpaceOptions,
  freeBytes: (dir: string) => Promise<number> = freeBytesOf,
): Promise<void> {
  const { cacheDir, memoryBytes, flip } = options;
  let needed = 0;
  for (const subject of subjects) {
    const own = { ...options, ...subject };
    if (cacheDir !== undefined) {
      needed += await missingMapsBytes(train, own, subject.stride, featureCache(cacheDir));
      continue;
    }
    const bytes = frozenMapsBytes(train, own, subject.stride);
    if (bytes > memoryBytes) needed = Math.max(needed, bytes);
  }
  if (needed === 0) return;
  const dir = cacheDir ?? scratchOf(options);
  await mkdir(dir, { recursive: true });
  const free = await freeBytes(dir);
  if (needed <= free) return;
  const what = `the maps of the training images${cacheDir === undefined ? '' : ' that are not in the cache yet'}`;
  const of = subjects.length > 1 && cacheDir !== undefined ? ` of ${subjects.length} subjects` : '';
  const place = cacheDir === undefined ? 'give a folder of another disk with --cache' : 'give another folder';
  const fewer = 'use fewer images (--train-images)';
  const ways = flip ? `${place}, ${fewer}, or --no-flip, which halves them` : `${place}, or ${fewer}`;
  throw new DataError(
    'bad_option',
    `${what}${of} take ${gigabytes(needed)} GB, and ${dir} has ${gigabytes(free)} GB left; ${ways}`,
  );
}
