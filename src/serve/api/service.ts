import pLimit from 'p-limit';
import type { Decoder } from '../../decode/decoder.js';
import { createLocalDecoder } from '../../decode/localDecoder.js';
import { restrictLoaders } from '../../image/loaders.js';
import { createByteBudget } from '../admission/byteBudget.js';
import { defaultServeLimits, type ServeLimits } from '../config/serveLimits.js';
import type { QueueObserver } from '../inference/batchQueue.js';
import { createModelRegistry, type ModelRegistry, type ModelSource } from '../inference/registry.js';
import type { MethodMap } from './method.js';
import { createMethodMap } from './methodMap.js';
import { createFeatureStore, type FeatureStoreStats } from './stored/featureStore.js';

/** The models and the methods over them, without a socket. The server and the in-process CLI both use it. */
export interface Service {
  readonly methods: MethodMap;
  readonly models: ModelRegistry;
  /** Counters of the features stored by reference. */
  readonly storedFeatures: FeatureStoreStats;
  /** Bytes of the maps that wait for a pooling or a PCA, or were read of sent features. */
  readonly heldMapBytes: number;
  /** Finishes the accepted calls, then closes the engines. */
  close(): Promise<void>;
  /** Aborts what `close` waits for. */
  terminate(): void;
}

export interface ServiceOptions {
  /** The first is the default model. The service closes them. */
  readonly models: readonly ModelSource[];
  readonly limits?: ServeLimits;
  /** Decodes images; the service closes it. Default: decodes in this process, which is for trusted images only. */
  readonly decoder?: Decoder;
  /** Notified of events in the queues. */
  readonly observer?: QueueObserver;
}

/**
 * Creates the service: limits, decoding and a batching queue for each model. It takes ownership of the engines. It also restricts
 * libvips to the supported formats, in the whole process.
 */
export function createService(options: ServiceOptions): Service {
  const { models: sources, limits = defaultServeLimits, decoder = createLocalDecoder(), observer } = options;
  restrictLoaders();
  const features = createFeatureStore(limits);
  const mapBudget = createByteBudget(limits.mapBytes, 'maps');
  const models = createModelRegistry({
    models: sources,
    limits,
    decoder,
    decoding: pLimit(limits.decodeConcurrency),
    matching: pLimit(Math.max(1, ...sources.map(({ engine }) => engine.status.workers.length))),
    reducing: pLimit(1),
    mapBudget,
    features,
    observer,
  });
  return {
    methods: createMethodMap(models, limits),
    models,
    get storedFeatures() {
      return features.stats;
    },
    get heldMapBytes() {
      return mapBudget.held;
    },
    async close() {
      await models.close();
      await decoder.close();
    },
    terminate() {
      decoder.terminate();
      models.terminate();
    },
  };
}
