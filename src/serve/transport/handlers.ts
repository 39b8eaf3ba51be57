import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { loadVicreglService } from '../../proto/load.js';
import type { VicreglMethods } from '../api/service.js';
import type { RawRequest } from './codec.js';
import { itemStreamHandler } from './itemStreamHandler.js';
import type { HandlerHost } from './openCall.js';
import { serverStreamHandler } from './serverStreamHandler.js';
import { unaryHandler } from './unaryHandler.js';

type Definitions = ReturnType<typeof loadVicreglService>['service'];

/** The service's definition with boxed bytes in and bytes out: the handlers (de)serialise. */
export function rawDefinition(definition: ServiceDefinition): ServiceDefinition {
  const box = (bytes: Buffer): RawRequest => ({ bytes });
  const pass = (bytes: Buffer): Buffer => bytes;
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => [
      name,
      { ...method, requestDeserialize: box, responseSerialize: pass },
    ]),
  );
}

/** A gRPC handler of every method. */
export function handlersOf(
  definition: Definitions,
  methods: VicreglMethods,
  host: HandlerHost,
): UntypedServiceImplementation {
  return {
    Embed: unaryHandler(definition.Embed, methods.Embed, host),
    ExtractFeatures: unaryHandler(definition.ExtractFeatures, methods.ExtractFeatures, host),
    Match: unaryHandler(definition.Match, methods.Match, host),
    MatchMany: unaryHandler(definition.MatchMany, methods.MatchMany, host),
    StoreFeatures: unaryHandler(definition.StoreFeatures, methods.StoreFeatures, host),
    GetModel: unaryHandler(definition.GetModel, methods.GetModel, host),
    EmbedBatch: unaryHandler(definition.EmbedBatch, methods.EmbedBatch, host),
    ExtractFeaturesBatch: unaryHandler(definition.ExtractFeaturesBatch, methods.ExtractFeaturesBatch, host),
    EmbedStream: itemStreamHandler(definition.EmbedStream, methods.EmbedStream, host),
    ExtractFeaturesStream: itemStreamHandler(definition.ExtractFeaturesStream, methods.ExtractFeaturesStream, host),
    ExtractFeaturesChunked: serverStreamHandler(
      definition.ExtractFeaturesChunked,
      methods.ExtractFeaturesChunked,
      host,
    ),
    GetServerInfo: unaryHandler(definition.GetServerInfo, methods.GetServerInfo, host),
    ListModels: unaryHandler(definition.ListModels, methods.ListModels, host),
  };
}
