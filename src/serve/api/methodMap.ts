import type { ServeLimits } from '../config/serveLimits.js';
import type { ModelRegistry } from '../inference/registry.js';
import type { ContextLender, ServeContext } from './context.js';
import type { MethodMap } from './method.js';
import { embed, embedBatch, embedStream } from './methods/embed.js';
import { extractFeatures, extractFeaturesBatch, extractFeaturesStream } from './methods/extractFeatures.js';
import { extractFeaturesChunked } from './methods/extractFeaturesChunked.js';
import { getModel } from './methods/getModel.js';
import { match, matchMany } from './methods/match.js';
import { createGetServerInfo, listModels } from './methods/serverInfo.js';
import { storeFeatures } from './methods/storeFeatures.js';

/**
 * The methods of the service over its models: the only list of handlers. The server's handlers, the in-process transport and the
 * early rejection of calls are derived from it and from the loaded definition.
 */
export function createMethodMap(models: ContextLender, registry: ModelRegistry, limits: ServeLimits): MethodMap {
  /** A method that uses the model that its request names. */
  const withModel =
    <Request extends { readonly model: string }, Call, Answer>(
      work: (context: ServeContext, request: Request, call: Call) => Promise<Answer>,
    ) =>
    (request: Request, call: Call): Promise<Answer> =>
      models.use(request.model, (context) => work(context, request, call));

  return {
    Embed: { admission: 'image', handle: withModel(embed) },
    EmbedBatch: { admission: 'none', handle: (request, call) => embedBatch(models, limits, request, call) },
    EmbedStream: { admission: 'none', handle: embedStream(models) },
    ExtractFeatures: { admission: 'image', handle: withModel(extractFeatures) },
    ExtractFeaturesBatch: {
      admission: 'none',
      handle: (request, call) => extractFeaturesBatch(models, limits, request, call),
    },
    ExtractFeaturesChunked: { admission: 'image', handle: withModel(extractFeaturesChunked) },
    ExtractFeaturesStream: { admission: 'none', handle: extractFeaturesStream(models) },
    GetModel: { admission: 'none', handle: withModel(getModel) },
    GetServerInfo: { admission: 'none', handle: createGetServerInfo(registry, limits) },
    ListModels: { admission: 'none', handle: async () => listModels(registry) },
    Match: { admission: 'none', handle: withModel(match) },
    MatchMany: { admission: 'none', handle: withModel(matchMany) },
    StoreFeatures: { admission: 'none', handle: withModel(storeFeatures) },
  };
}
