import type { InferenceMessagesOf, InferenceMethodName } from '../../proto/methods.js';
import type { ContextLender } from '../api/context.js';
import type { Method, ServedMethod } from '../api/method.js';
import { ServeError } from '../call/serveError.js';
import type { ServeLimits } from '../config/serveLimits.js';
import type { ModelRegistry } from '../inference/registry.js';
import { modelMetadata, repositoryIndex, serverMetadata } from './metadata.js';
import { createModelInfer } from './modelInfer.js';
import { findModel, isReady, type ServingState } from './served.js';

/** Every method of the Open Inference Protocol with its handler. */
export type InferenceMethods = {
  readonly [M in InferenceMethodName]: ServedMethod<
    Method<InferenceMessagesOf<M>['requestRead'], InferenceMessagesOf<M>['response']>
  >;
};

export interface InferenceMethodsOptions {
  readonly contexts: ContextLender;
  readonly models: Pick<ModelRegistry, 'served'>;
  readonly limits: ServeLimits;
  readonly state: ServingState;
}

const names = { name: 'name', version: 'version' };

/**
 * The methods of the Open Inference Protocol over the models of a service: the only list of their handlers. They are another door to
 * Embed and ExtractFeatures: the queues, limits and errors are those of our own methods.
 */
export function createInferenceMethods({ contexts, models, limits, state }: InferenceMethodsOptions): InferenceMethods {
  const notOffered = (what: string) => async (): Promise<never> => {
    throw new ServeError('not_offered', what);
  };
  return {
    ServerLive: { admission: 'none', handle: async () => ({ live: true }) },
    ServerReady: { admission: 'none', handle: async () => ({ ready: state.isServing('') }) },
    ModelReady: {
      admission: 'none',
      handle: async ({ name, version }) => ({ ready: isReady(state, findModel(models, name, version, names)) }),
    },
    ServerMetadata: { admission: 'none', handle: async () => serverMetadata() },
    ModelMetadata: {
      admission: 'none',
      handle: async ({ name, version }) => modelMetadata(models, findModel(models, name, version, names)),
    },
    ModelInfer: { admission: 'image', handle: createModelInfer(contexts, models, limits) },
    RepositoryIndex: { admission: 'none', handle: async (request) => repositoryIndex(models, state, request) },
    RepositoryModelLoad: {
      admission: 'none',
      handle: notOffered(
        'RepositoryModelLoad: models are not loaded by this protocol; the operator of the service reloads a model from its folder ' +
          'by the admin call POST /reload?model=NAME (adminAddress)',
      ),
    },
    RepositoryModelUnload: {
      admission: 'none',
      handle: notOffered(
        'RepositoryModelUnload: models are not unloaded by this protocol; the operator of the service decides at its start which ' +
          'models it has, and replaces one by the admin call POST /reload?model=NAME (adminAddress)',
      ),
    },
  };
}
