import type { Decoder } from '../../decode/decoder.js';
import { createLocalDecoder } from '../../decode/localDecoder.js';
import { restrictLoaders } from '../../image/loaders.js';
import type { EmbedBatchRequest__Output } from '../../proto/generated/vicregl/v1/EmbedBatchRequest.js';
import type { EmbedBatchResponse } from '../../proto/generated/vicregl/v1/EmbedBatchResponse.js';
import type { EmbedRequest__Output } from '../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse } from '../../proto/generated/vicregl/v1/EmbedResponse.js';
import type { ExtractFeaturesBatchRequest__Output } from '../../proto/generated/vicregl/v1/ExtractFeaturesBatchRequest.js';
import type { ExtractFeaturesBatchResponse } from '../../proto/generated/vicregl/v1/ExtractFeaturesBatchResponse.js';
import type { ExtractFeaturesChunk } from '../../proto/generated/vicregl/v1/ExtractFeaturesChunk.js';
import type { ExtractFeaturesRequest__Output } from '../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { GetModelRequest__Output } from '../../proto/generated/vicregl/v1/GetModelRequest.js';
import type { GetModelResponse } from '../../proto/generated/vicregl/v1/GetModelResponse.js';
import type { GetServerInfoRequest__Output } from '../../proto/generated/vicregl/v1/GetServerInfoRequest.js';
import type { GetServerInfoResponse } from '../../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { ListModelsRequest__Output } from '../../proto/generated/vicregl/v1/ListModelsRequest.js';
import type { ListModelsResponse } from '../../proto/generated/vicregl/v1/ListModelsResponse.js';
import type { MatchManyRequest__Output } from '../../proto/generated/vicregl/v1/MatchManyRequest.js';
import type { MatchManyResponse } from '../../proto/generated/vicregl/v1/MatchManyResponse.js';
import type { MatchRequest__Output } from '../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../proto/generated/vicregl/v1/MatchResponse.js';
import type { StoreFeaturesRequest__Output } from '../../proto/generated/vicregl/v1/StoreFeaturesRequest.js';
import type { StoreFeaturesResponse } from '../../proto/generated/vicregl/v1/StoreFeaturesResponse.js';
import { type Admission, createAdmission } from '../admission/admission.js';
import { defaultServeLimits, type ServeLimits } from '../config/serveLimits.js';
import type { QueueObserver } from '../inference/batchQueue.js';
import { createModelRegistry, type ModelRegistry, type ModelSource } from '../inference/registry.js';
import { createContextLender } from './context.js';
import { servedModels } from './info/servedModels.js';
import type { Method, StreamedMethod } from './method.js';
import { embed } from './methods/embed.js';
import { embedBatch } from './methods/embedBatch.js';
import { extractFeatures } from './methods/extractFeatures.js';
import { extractFeaturesBatch } from './methods/extractFeaturesBatch.js';
import { extractFeaturesChunked } from './methods/extractFeaturesChunked.js';
import { getModel } from './methods/getModel.js';
import { createGetServerInfo } from './methods/getServerInfo.js';
import { match } from './methods/match.js';
import { matchMany } from './methods/matchMany.js';
import { storeFeatures } from './methods/storeFeatures.js';
import { embedStream, extractFeaturesStream } from './methods/streams.js';
import { createFeatureStore, type FeatureStoreStats } from './stored/featureStore.js';

/** The methods over the models, without a socket: the server and the in-process CLI both call these. */
export interface VicreglMethods {
  readonly Embed: Method<EmbedRequest__Output, EmbedResponse>;
  readonly ExtractFeatures: Method<ExtractFeaturesRequest__Output, ExtractFeaturesResponse>;
  readonly Match: Method<MatchRequest__Output, MatchResponse>;
  readonly MatchMany: Method<MatchManyRequest__Output, MatchManyResponse>;
  readonly StoreFeatures: Method<StoreFeaturesRequest__Output, StoreFeaturesResponse>;
  readonly GetModel: Method<GetModelRequest__Output, GetModelResponse>;
  readonly EmbedBatch: Method<EmbedBatchRequest__Output, EmbedBatchResponse>;
  readonly ExtractFeaturesBatch: Method<ExtractFeaturesBatchRequest__Output, ExtractFeaturesBatchResponse>;
  readonly EmbedStream: ReturnType<typeof embedStream>;
  readonly ExtractFeaturesStream: ReturnType<typeof extractFeaturesStream>;
  readonly ExtractFeaturesChunked: StreamedMethod<ExtractFeaturesRequest__Output, ExtractFeaturesChunk>;
  readonly GetServerInfo: Method<GetServerInfoRequest__Output, GetServerInfoResponse>;
  readonly ListModels: Method<ListModelsRequest__Output, ListModelsResponse>;
}

export interface Service {
  readonly methods: VicreglMethods;
  readonly models: ModelRegistry;
  /** Of the features kept by reference. */
  readonly storedFeatures: FeatureStoreStats;
  /** Finishes what was taken, then closes the engines. */
  close(): Promise<void>;
  /** Ends what `close` waits for. */
  terminate(): void;
}

export interface ServiceOptions {
  /** The first is the default; the service closes them. */
  readonly models: readonly ModelSource[];
  readonly limits?: ServeLimits;
  /** Bounds bytes and concurrent work. Default: by the limits. */
  readonly admission?: Admission;
  /** Decodes images; the service closes it. Default: in this process, for images from trusted sources. */
  readonly decoder?: Decoder;
  /** Told what happens in the queues. */
  readonly observer?: QueueObserver;
}

/**
 * Puts limits, decoding and a batching queue in front of each model; the service owns their engines from then on. From here
 * on libvips reads the supported formats alone, in the whole process.
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
  const models = createContextLender(registry, { decoder, admission, features });
  return {
    methods: {
      Embed: (request, call) => models.use(request.model, (context) => embed(context, request, call)),
      ExtractFeatures: (request, call) =>
        models.use(request.model, (context) => extractFeatures(context, request, call)),
      Match: (request, call) => models.use(request.model, (context) => match(context, request, call)),
      MatchMany: (request, call) => models.use(request.model, (context) => matchMany(context, request, call)),
      StoreFeatures: (request, call) => models.use(request.model, (context) => storeFeatures(context, request, call)),
      GetModel: (request) => models.use(request.model, getModel),
      EmbedBatch: (request, call) => embedBatch(models, limits, request, call),
      ExtractFeaturesBatch: (request, call) => extractFeaturesBatch(models, limits, request, call),
      EmbedStream: embedStream(models),
      ExtractFeaturesStream: extractFeaturesStream(models),
      ExtractFeaturesChunked: (request, call) =>
        models.use(request.model, (context) => extractFeaturesChunked(context, request, call)),
      GetServerInfo: createGetServerInfo(registry, limits),
      ListModels: async () => ({ models: servedModels(registry) }),
    },
    models: registry,
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
