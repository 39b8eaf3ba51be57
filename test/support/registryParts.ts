import pLimit from 'p-limit';
import { createLocalDecoder } from '../../src/decode/localDecoder.js';
import type { Engine } from '../../src/engine/engine.js';
import { createByteBudget } from '../../src/serve/admission/byteBudget.js';
import { createFeatureStore } from '../../src/serve/api/stored/featureStore.js';
import { defaultServeLimits } from '../../src/serve/config/serveLimits.js';
import { createBatchQueue } from '../../src/serve/inference/batchQueue.js';
import { type CallQueue, lendQueue } from '../../src/serve/inference/callQueue.js';
import type { RegistryOptions } from '../../src/serve/inference/registry.js';

/** What a registry shares among its models, for tests of registries: the standard limits, and one of everything at a time. */
export function registryParts(): Omit<RegistryOptions, 'models'> {
  return {
    limits: defaultServeLimits,
    decoder: createLocalDecoder(),
    decoding: pLimit(1),
    matching: pLimit(1),
    reducing: pLimit(1),
    mapBudget: createByteBudget(defaultServeLimits.mapBytes, 'maps'),
    features: createFeatureStore(defaultServeLimits),
  };
}

/** The queue in front of an engine, as a call has it that does not end. */
export function callQueueOf(engine: Engine): CallQueue {
  let own: CallQueue | undefined;
  void lendQueue(createBatchQueue(engine, defaultServeLimits), (queue) => {
    own = queue;
    return new Promise(() => {});
  });
  return own!;
}
