import { createLocalDecoder } from '../../src/decode/localDecoder.js';
import type { Engine } from '../../src/engine/engine.js';
import { createAdmission } from '../../src/serve/admission/admission.js';
import type { SharedParts } from '../../src/serve/api/context.js';
import { createFeatureStore } from '../../src/serve/api/stored/featureStore.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createBatchQueue } from '../../src/serve/inference/batchQueue.js';
import { type ScopedQueue, withScopedQueue } from '../../src/serve/inference/scopedQueue.js';

/** The context of methods for tests: the default limits, but a concurrency of one. */
export function sharedParts(limits = defaultServeLimits): SharedParts {
  return {
    decoder: createLocalDecoder(),
    admission: createAdmission({ ...limits, decodeConcurrency: 1 }, []),
    features: createFeatureStore(limits),
  };
}

/** The queue in front of an engine, for a call that does not end. */
export function scopedQueueOf(engine: Engine): ScopedQueue {
  let own: ScopedQueue | undefined;
  void withScopedQueue(createBatchQueue(engine, defaultServeLimits), (queue) => {
    own = queue;
    return new Promise(() => {});
  });
  return own!;
}
