import type { DuplexStream, ServerStream, Transport, Unary } from '../client/transport.js';
import { loadVicreglService } from '../proto/load.js';
import type { ItemMethod, Method, StreamedMethod } from '../serve/api/method.js';
import type { Service } from '../serve/api/service.js';
import type { Call } from '../serve/call/call.js';
import { type Status, toStatus } from '../serve/call/errors.js';
import { createPhaseRecorder } from '../serve/call/phases.js';
import { defaultServeLimits } from '../serve/config/serveLimits.js';

interface Codec<Request, RequestOutput, Response, ResponseOutput> {
  requestSerialize(request: Request): Buffer;
  requestDeserialize(bytes: Buffer): RequestOutput;
  responseSerialize(response: Response): Buffer;
  responseDeserialize(bytes: Buffer): ResponseOutput;
}

function callOf(signal: AbortSignal | undefined): Call {
  return { signal: signal ?? new AbortController().signal, observe: () => {} };
}

/** The status that the socket's client would see, with all that the error says: there is no log to look into, and no stranger. */
function wholeStatus(error: unknown): Status {
  const status = toStatus(error);
  return error instanceof Error ? { ...status, details: error.message } : status;
}

/** An error as the socket's client would see it; an unexpected one shows itself. */
function shown(error: unknown): unknown {
  const status = wholeStatus(error);
  return status.reason === 'INTERNAL' ? error : Object.assign(new Error(status.details, { cause: error }), status);
}

/** Messages pass through their bytes, so that defaults and checks are those of the socket. */
function unary<Request, RequestOutput, Response, ResponseOutput>(
  codec: Codec<Request, RequestOutput, Response, ResponseOutput>,
  method: Method<RequestOutput, Response>,
): Unary<Request, ResponseOutput> {
  return async (request, { signal }) => {
    try {
      const response = await method(codec.requestDeserialize(codec.requestSerialize(request)), callOf(signal));
      return codec.responseDeserialize(codec.responseSerialize(response));
    } catch (error) {
      throw shown(error);
    }
  };
}

/** The messages of a streamed answer. */
function streamed<Request, RequestOutput, Response, ResponseOutput>(
  codec: Codec<Request, RequestOutput, Response, ResponseOutput>,
  method: StreamedMethod<RequestOutput, Response>,
): ServerStream<Request, ResponseOutput> {
  return async function* (request, { signal }) {
    try {
      const { messages } = await method(codec.requestDeserialize(codec.requestSerialize(request)), callOf(signal));
      for (const message of messages) yield codec.responseDeserialize(codec.responseSerialize(message));
    } catch (error) {
      throw shown(error);
    }
  };
}

/** The items of a stream, one after the other: within a process there is no way for another to overtake. */
function itemised<Request, Item, Response, Answer, AnswerOutput>(
  codec: Codec<Request, Item, Answer, AnswerOutput>,
  method: ItemMethod<Item, Response, Answer>,
): DuplexStream<Request, AnswerOutput> {
  return async function* (requests, { signal }) {
    for await (const request of requests) {
      const item = codec.requestDeserialize(codec.requestSerialize(request));
      const { seconds, observe } = createPhaseRecorder(() => {});
      const call = { ...callOf(signal), observe };
      const answer = await method.answer(item, call).then(
        (response) => method.wrap(item, response, seconds),
        (error: unknown) => method.refuse(item, wholeStatus(error), seconds),
      );
      signal?.throwIfAborted();
      yield codec.responseDeserialize(codec.responseSerialize(answer));
    }
  };
}

/** Answers a client from a service in this process. Closing the transport closes the service. */
export function createLocalTransport(service: Service): Transport {
  const definition = loadVicreglService().service;
  const { methods } = service;
  return {
    embed: unary(definition.Embed, methods.Embed),
    extractFeatures: unary(definition.ExtractFeatures, methods.ExtractFeatures),
    match: unary(definition.Match, methods.Match),
    matchMany: unary(definition.MatchMany, methods.MatchMany),
    storeFeatures: unary(definition.StoreFeatures, methods.StoreFeatures),
    getModel: unary(definition.GetModel, methods.GetModel),
    embedBatch: unary(definition.EmbedBatch, methods.EmbedBatch),
    extractFeaturesBatch: unary(definition.ExtractFeaturesBatch, methods.ExtractFeaturesBatch),
    embedStream: itemised(definition.EmbedStream, methods.EmbedStream),
    extractFeaturesStream: itemised(definition.ExtractFeaturesStream, methods.ExtractFeaturesStream),
    extractFeaturesChunked: streamed(definition.ExtractFeaturesChunked, methods.ExtractFeaturesChunked),
    getServerInfo: unary(definition.GetServerInfo, methods.GetServerInfo),
    listModels: unary(definition.ListModels, methods.ListModels),
    maxResponseBytes: defaultServeLimits.maxResponseBytes,
    waitForReady: async () => {},
    close: () => service.close(),
  };
}
