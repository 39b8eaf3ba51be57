import { LRUCache } from 'lru-cache';
import type { Engine, OutputName } from '../../../engine/engine.js';
import type { Grid } from '../../../image/geometry.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { ServeError } from '../../call/serveError.js';

/** The local vectors of one image, kept to be matched again. */
export interface StoredFeatures {
  /** The engine that computed them: a reloaded model is another one. */
  readonly engine: Engine;
  readonly output: OutputName;
  readonly grid: Grid;
  /** [rows, columns, C] */
  readonly maps: Tensor<'float32'>;
}

/** Counters from the start, and what is kept now. */
export interface FeatureStoreStats {
  readonly hits: number;
  readonly misses: number;
  /** Dropped before their time, for newer ones. */
  readonly evictions: number;
  /** Dropped because nobody used them for their time. */
  readonly expirations: number;
  readonly entries: number;
  readonly bytes: number;
}

/** Features with the time for which they are kept. */
export interface KeptFeatures extends StoredFeatures {
  /** Seconds from the last use on. */
  readonly ttlSeconds: number;
}

/** Features by reference: bounded in bytes and entries, each kept for a time after its last use. */
export interface FeatureStore {
  /**
   * Finds what is kept, and keeps it for its time from now on. Counted as a hit or a miss.
   * @param ttlSeconds its time is this from now on where its own is shorter
   */
  find(ref: string, ttlSeconds?: number): KeptFeatures | undefined;
  /**
   * Drops what is least recently used to make room.
   * @returns seconds for which it is kept: what is kept under the reference already does not lose its longer time
   * @throws ServeError `too_large` as `checkRoom`.
   */
  keep(ref: string, features: StoredFeatures, ttlSeconds: number): number;
  /** Drops what an engine computed, to which no reference leads any more. */
  dropOf(engine: Engine): void;
  /** @throws ServeError `too_large` for more bytes than may be kept in all. */
  checkRoom(bytes: number): void;
  readonly stats: FeatureStoreStats;
}

export interface FeatureStoreLimits {
  readonly storedFeaturesBytes: number;
  readonly storedFeatures: number;
}

/** The features in memory of their own: what a run gave is a view of all its images' maps, and would keep them all. */
function owned(features: StoredFeatures): StoredFeatures {
  const { maps } = features;
  if (maps.data.byteLength === maps.data.buffer.byteLength) return features;
  return { ...features, maps: { ...maps, data: maps.data.slice() } };
}

/** @param now monotonic milliseconds; tests have a clock of their own */
export function createFeatureStore(limits: FeatureStoreLimits, now?: () => number): FeatureStore {
  const { storedFeaturesBytes, storedFeatures } = limits;
  const counts = { hits: 0, misses: 0, evictions: 0, expirations: 0 };
  const cache = new LRUCache<string, KeptFeatures>({
    max: storedFeatures,
    maxSize: storedFeaturesBytes,
    sizeCalculation: ({ maps }) => maps.data.byteLength,
    updateAgeOnGet: true,
    ttl: 1, // each entry brings its own
    ...(now && { perf: { now }, ttlResolution: 0 }),
    dispose: (_features, _ref, reason) => {
      if (reason === 'evict') counts.evictions++;
      if (reason === 'expire') counts.expirations++;
    },
  });

  function checkRoom(bytes: number): void {
    if (bytes <= storedFeaturesBytes) return;
    throw new ServeError(
      'too_large',
      `features of ${bytes} bytes are more than the ${storedFeaturesBytes} that may be stored; ask for a smaller size (resize)`,
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
      checkRoom(features.maps.data.byteLength);
      // What has expired must not be counted as evicted.
      cache.purgeStale();
      // Two calls may have computed the same, neither finding the other's.
      const longest = Math.max(ttlSeconds, cache.peek(ref)?.ttlSeconds ?? 0);
      set(ref, { ...owned(features), ttlSeconds: longest });
      return longest;
    },
    dropOf(engine) {
      const dropped = [...cache].filter(([, features]) => features.engine === engine);
      for (const [ref] of dropped) cache.delete(ref);
    },
    checkRoom,
    get stats() {
      cache.purgeStale();
      return { ...counts, entries: cache.size, bytes: cache.calculatedSize };
    },
  };
}
