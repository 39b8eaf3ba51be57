import type { EmbedBatchRequest } from '../proto/generated/vicregl/v1/EmbedBatchRequest.js';
import type { EmbedBatchResponse__Output } from '../proto/generated/vicregl/v1/EmbedBatchResponse.js';
import type { EmbedRequest } from '../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse__Output } from '../proto/generated/vicregl/v1/EmbedResponse.js';
import type { EmbedStreamRequest } from '../proto/generated/vicregl/v1/EmbedStreamRequest.js';
import type { EmbedStreamResponse__Output } from '../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import type { ExtractFeaturesBatchRequest } from '../proto/generated/vicregl/v1/ExtractFeaturesBatchRequest.js';
import type { ExtractFeaturesBatchResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesBatchResponse.js';
import type { ExtractFeaturesChunk__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesChunk.js';
import type { ExtractFeaturesRequest } from '../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { ExtractFeaturesStreamRequest } from '../proto/generated/vicregl/v1/ExtractFeaturesStreamRequest.js';
import type { ExtractFeaturesStreamResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesStreamResponse.js';
import type { GetModelRequest } from '../proto/generated/vicregl/v1/GetModelRequest.js';
import type { GetModelResponse__Output } from '../proto/generated/vicregl/v1/GetModelResponse.js';
import type { GetServerInfoRequest } from '../proto/generated/vicregl/v1/GetServerInfoRequest.js';
import type { GetServerInfoResponse__Output } from '../proto/generated/vicregl/v1/GetServerInfoResponse.js';
import type { ListModelsRequest } from '../proto/generated/vicregl/v1/ListModelsRequest.js';
import type { ListModelsResponse__Output } from '../proto/generated/vicregl/v1/ListModelsResponse.js';
import type { MatchManyRequest } from '../proto/generated/vicregl/v1/MatchManyRequest.js';
import type { MatchManyResponse__Output } from '../proto/generated/vicregl/v1/MatchManyResponse.js';
import type { MatchRequest } from '../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse__Output } from '../proto/generated/vicregl/v1/MatchResponse.js';
import type { StoreFeaturesRequest } from '../proto/generated/vicregl/v1/StoreFeaturesRequest.js';
import type { StoreFeaturesResponse__Output } from '../proto/generated/vicregl/v1/StoreFeaturesResponse.js';
import type { Phases } from './phases.js';

/** How one call is made. */
export interface CallOptions {
  /** Gives up the call when aborted. */
  readonly signal?: AbortSignal;
  /**
   * Longest wait for the answer in ms; the client's own where it is left out. A stream has none of its own: this bounds all
   * of it.
   */
  readonly deadlineMs?: number;
  /** Told, when the answer has come, how long the service spent in each phase; of a stream, in all. Not within a process. */
  readonly onPhases?: (phases: Phases) => void;
}

export type Unary<Request, Response> = (request: Request, options: CallOptions) => Promise<Response>;

/** One request, several messages; ending the iteration early gives up the call. */
export type ServerStream<Request, Response> = (request: Request, options: CallOptions) => AsyncIterable<Response>;

/**
 * Messages both ways: a request is taken from the iterable when the one before has gone out, and an answer is received when
 * the one before has been taken. Ending the iteration early gives up the call.
 */
export type DuplexStream<Request, Response> = (
  requests: AsyncIterable<Request>,
  options: CallOptions,
) => AsyncIterable<Response>;

/** Carries messages to the service: over a socket, or within the process. Rejects with what `VicreglError.from` takes. */
export interface Transport {
  readonly embed: Unary<EmbedRequest, EmbedResponse__Output>;
  readonly extractFeatures: Unary<ExtractFeaturesRequest, ExtractFeaturesResponse__Output>;
  readonly match: Unary<MatchRequest, MatchResponse__Output>;
  readonly matchMany: Unary<MatchManyRequest, MatchManyResponse__Output>;
  readonly storeFeatures: Unary<StoreFeaturesRequest, StoreFeaturesResponse__Output>;
  readonly getModel: Unary<GetModelRequest, GetModelResponse__Output>;
  readonly embedBatch: Unary<EmbedBatchRequest, EmbedBatchResponse__Output>;
  readonly extractFeaturesBatch: Unary<ExtractFeaturesBatchRequest, ExtractFeaturesBatchResponse__Output>;
  readonly embedStream: DuplexStream<EmbedStreamRequest, EmbedStreamResponse__Output>;
  readonly extractFeaturesStream: DuplexStream<ExtractFeaturesStreamRequest, ExtractFeaturesStreamResponse__Output>;
  readonly extractFeaturesChunked: ServerStream<ExtractFeaturesRequest, ExtractFeaturesChunk__Output>;
  readonly getServerInfo: Unary<GetServerInfoRequest, GetServerInfoResponse__Output>;
  readonly listModels: Unary<ListModelsRequest, ListModelsResponse__Output>;
  /** Largest tensor in bytes that this transport can bring back in one message. */
  readonly maxResponseBytes: number;
  /** Resolves when the service can be reached. */
  waitForReady(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
