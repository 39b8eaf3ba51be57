import pLimit from 'p-limit';
import { createByteBudget } from '../../src/serve/byteBudget.js';
import { defaultServeLimits } from '../../src/serve/limits.js';
import type { RegistryOptions } from '../../src/serve/models/registry.js';
import { createFeatureStore } from '../../src/serve/stored/featureStore.js';

/** What a registry shares among its models, for tests of registries: the standard limits, and one of everything at a time. */
export function registryParts(): Omit<RegistryOptions, 'models'> {
  return {
    limits: defaultServeLimits,
    decoding: pLimit(1),
    matching: pLimit(1),
    reducing: pLimit(1),
    reduceBudget: createByteBudget(defaultServeLimits.reduceBytes, 'maps'),
    features: createFeatureStore(defaultServeLimits),
  };
}
