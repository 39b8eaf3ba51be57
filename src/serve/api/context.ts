import type { LimitFunction } from 'p-limit';
import type { Decoder } from '../../decode/decoder.js';
import type { Engine } from '../../engine/engine.js';
import type { ByteBudget } from '../admission/byteBudget.js';
import type { ServeLimits } from '../config/serveLimits.js';
import type { CallQueue } from '../inference/callQueue.js';
import type { FeatureStore } from './stored/featureStore.js';

/** One model and what stands in front of it: what every method works with. `ModelRegistry.use` lends it to a call. */
export interface ServeContext {
  readonly engine: Engine;
  readonly queue: CallQueue;
  readonly limits: ServeLimits;
  /** Decodes images and masks. All models share it. */
  readonly decoder: Decoder;
  /** Bounds how many images are decoded at once; all models share it. */
  readonly decoding: LimitFunction;
  /** Lets as many matches compute at a time as a model has workers: more would only take turns. All models share it. */
  readonly matching: LimitFunction;
  /** Features that were kept to be matched by reference. All models share it. */
  readonly features: FeatureStore;
  /** Lets one pooling or PCA compute at a time. All models share it. */
  readonly reducing: LimitFunction;
  /** Bounds the bytes of the maps that are pooled or reduced, or will be, or read of sent features. All models share it. */
  readonly mapBudget: ByteBudget;
}
