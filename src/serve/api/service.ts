import type { Decoder } from '../../decode/decoder.js';
import { createLocalDecoder } from '../../decode/localDecoder.js';
import { restrictLoaders } from '../../image/loaders.js';
import { type Admission, createAdmission } from '../admission/admission.js';
import { defaultServeLimits, type ServeLimits } from '../config/serveLimits.js';
import {
  createModelRegistry,
  type ModelObserver,
  type ModelRegistry,
  type ModelSource,
} from '../inference/registry.js';
import { type ContextLender, createContextLender } from './context.js';
import type { MethodMap } from './method.js';
import { createMethodMap } from './methodMap.js';
import { createFeatureStore, type FeatureStoreStats } from './stored/featureStore.js';

/** The models and the methods over them, without a socket. The server and the in-process CLI both use it. */
export interface Service {
  readonly methods: MethodMap;
  readonly models: ModelRegistry;
  /** Lends the models with what they share, for methods of other protocols. */
  readonly contexts: ContextLender;
  /** Counters of the features stored by reference. */
  readonly storedFeatures: FeatureStoreStats;
  /** Finishes accepted requests, then closes the engines. */
  close(): Promise<void>;
  /** Aborts what `close` waits for. */
  terminate(): void;
}

export interface ServiceOptions {
  /** The first is the default model. The service closes them. */
  readonly models: readonly ModelSource[];
  readonly limits?: ServeLimits;
  /** Bounds bytes and concurrent work. Default: by the limits. */
  readonly admission?: Admission;
  /** Decodes images; the service closes it. Default: in this process, for images from trusted sources. */
  readonly decoder?: Decoder;
  /** Notified of events in the queues. */
  readonly observer?: ModelObserver;
}

/**
 * Creates the service: limits, decoding and a batching queue for each model. It takes ownership of the engines. It also restricts
 * libvips to the supported formats, in the whole process.
 */
export function createService(options: ServiceOptions): Service {
  const { models: sources, limits = defaultServeLimits, decoder = createLocalDecoder(), observer } = options;
  restrictLoaders();
  const features = createFeatureStore(limits);
  const engines = sources.map(({ engine }) => engine);
  const { admission = createAdmission(limits, engines) } = options;
  const registry = createModelRegistry({
    models: sources,
    limits,
    // References lead to features of their own engine alone: once it is retired, no call can use them.
    onRetired: (engine) => features.dropOf(engine),
    observer,
  });
  const contexts = createContextLender(registry, { decoder, admission, features });
  return {
    methods: createMethodMap(contexts, registry, limits),
    models: registry,
    contexts,
    get storedFeatures() {
      return features.stats;
    },
    async close() {
      await registry.close();
      await decoder.close();
    },
    terminate() {
      decoder.terminate();
      registry.terminate();
    },
  };
}
