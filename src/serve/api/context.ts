import type { Decoder } from '../../decode/decoder.js';
import type { Admission } from '../admission/admission.js';
import type { LentModel, ModelRegistry } from '../inference/registry.js';
import type { FeatureStore } from './stored/featureStore.js';

/** The context of a method call: the model that its request names, and what all models share. */
export interface ServeContext extends LentModel, SharedParts {}

/** The parts that all models of a service share. */
export interface SharedParts {
  /** Decodes images and masks. */
  readonly decoder: Decoder;
  /** Bounds bytes and concurrent work. */
  readonly admission: Admission;
  /** Features stored for matches by reference. */
  readonly features: FeatureStore;
}

/** Provides methods with their context. */
export interface ContextLender {
  /** As `ModelRegistry.use`, with the whole context. */
  use<T>(name: string, work: (context: ServeContext) => Promise<T>): Promise<T>;
}

export function createContextLender(models: Pick<ModelRegistry, 'use'>, shared: SharedParts): ContextLender {
  return { use: (name, work) => models.use(name, (model) => work({ ...model, ...shared })) };
}
