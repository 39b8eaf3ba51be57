import { LRUCache } from 'lru-cache';
import type { Engine, OutputName } from '../../../engine/engine.js';
import type { Grid } from '../../../image/geometry.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit } from '../../config/serveLimits.js';

/** The stored local vectors of one image. */
export interface StoredFeatures {
  /** The engine that computed them: a reloaded model is another one. */
  readonly engine: Engine;
  readonly output: OutputName;
  readonly grid: Grid;
  /** [rows, columns, C] */
  readonly maps: Tensor<'float32'>;
}

/** Counters since the start, and the present contents. */
export interface FeatureStoreStats {
  readonly hits: number;
  readonly misses: number;
  /** Removed before their expiry, to free bytes or entries for newer ones. */
  readonly evictions: number;
  /** Removed because they were not used in time. */
  readonly expirations: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Stored features with their time to live. */
export interface KeptFeatures extends StoredFeatures {
  /** Seconds from the last use on. */
  readonly ttlSeconds: number;
}

/** Stores features by reference: bounded in bytes and entries; each expires some time after its last use. */
export interface FeatureStore {
  /**
   * Finds features and restarts their time to live. Counts a hit or a miss.
   * @param ttlSeconds the new time to live, if theirs is shorter
   */
  find(ref: string, ttlSeconds?: number): KeptFeatures | undefined;
  /**
   * Stores features; evicts the least recently used ones if necessary.
   * @returns their time to live in seconds: that of features that are already stored under the reference, if it is longer
   * @throws ServeError `too_large` as `checkBytes`.
   */
  keep(ref: string, features: StoredFeatures, ttlSeconds: number): number;
  /** Removes the features that the engine of a replaced model computed: no new request can use them. */
  dropOf(engine: Engine): void;
  /** @throws ServeError `too_large` for more bytes than the whole store may hold. */
  checkBytes(bytes: number): void;
  readonly stats: FeatureStoreStats;
}

export interface FeatureStoreLimits {
  readonly storedFeaturesBytes: number;
  readonly storedFeatures: number;
}

/** Copies features to separate memory: the output of a run is a view, and would retain the maps of all images of the run. */
function owned(features: StoredFeatures): StoredFeatures {
  const { maps } = features;
  if (maps.data.byteLength === maps.data.buffer.byteLength) return features;
  return { ...features, maps: { ...maps, data: maps.data.slice() } };
}

/** @param now monotonic milliseconds, for tests */
export function createFeatureStore(limits: FeatureStoreLimits, now?: () => number): FeatureStore {
  const { storedFeaturesBytes, storedFeatures } = limits;
  const counts = { hits: 0, misses: 0, evictions: 0, expirations: 0 };
  const cache = new LRUCache<string, KeptFeatures>({
    max: storedFeatures,
    maxSize: storedFeaturesBytes,
    sizeCalculation: ({ maps }) => maps.data.byteLength,
    updateAgeOnGet: true,
    ttl: 1, // each entry has its own
    ...(now && { perf: { now }, ttlResolution: 0 }),
    dispose: (_features, _ref, reason) => {
      if (reason === 'evict') counts.evictions++;
      if (reason === 'expire') counts.expirations++;
    },
  });

  function checkBytes(bytes: number): void {
    if (bytes <= storedFeaturesBytes) return;
    throw new ServeError(
      'too_large',
      `features of ${bytes} bytes cannot be stored: ${overLimit(limits, 'storedFeaturesBytes')}; ask for a smaller size (resize)`,
    );
  }

  function set(ref: string, kept: KeptFeatures): void {
    cache.set(ref, kept, { ttl: kept.ttlSeconds * 1000 });
  }

  return {
    find(ref, ttlSeconds = 0) {
      const found = cache.get(ref);
      if (found) counts.hits++;
      else counts.misses++;
      if (found === undefined || found.ttlSeconds >= ttlSeconds) return found;
      const longer = { ...found, ttlSeconds };
      set(ref, longer);
      return longer;
    },
    keep(ref, features, ttlSeconds) {
      checkBytes(features.maps.data.byteLength);
      // Expired entries must not be counted as evicted.
      cache.purgeStale();
      // Two concurrent calls may have computed the same features.
      const longest = Math.max(ttlSeconds, cache.peek(ref)?.ttlSeconds ?? 0);
      set(ref, { ...owned(features), ttlSeconds: longest });
      return longest;
    },
    dropOf(engine) {
      const dropped = [...cache].filter(([, features]) => features.engine === engine);
      for (const [ref] of dropped) cache.delete(ref);
    },
    checkBytes,
    get stats() {
      cache.purgeStale();
      return { ...counts, entries: cache.size, bytes: cache.calculatedSize };
    },
  };
}
