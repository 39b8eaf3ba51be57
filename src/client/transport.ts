import type { EmbedRequest } from '../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse__Output } from '../proto/generated/vicregl/v1/EmbedResponse.js';
import type { ExtractFeaturesRequest } from '../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse__Output } from '../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { GetModelRequest } from '../proto/generated/vicregl/v1/GetModelRequest.js';
import type { GetModelResponse__Output } from '../proto/generated/vicregl/v1/GetModelResponse.js';
import type { MatchRequest } from '../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse__Output } from '../proto/generated/vicregl/v1/MatchResponse.js';

/** How one call is made. */
export interface CallOptions {
  /** Gives up the call when aborted. */
  readonly signal?: AbortSignal;
  /** Longest wait for the answer in ms; the client's own where it is left out. */
  readonly deadlineMs?: number;
}

export type Unary<Request, Response> = (request: Request, options: CallOptions) => Promise<Response>;

/** Carries messages to the service: over a socket, or within the process. Rejects with what `VicreglError.from` takes. */
export interface Transport {
  readonly embed: Unary<EmbedRequest, EmbedResponse__Output>;
  readonly extractFeatures: Unary<ExtractFeaturesRequest, ExtractFeaturesResponse__Output>;
  readonly match: Unary<MatchRequest, MatchResponse__Output>;
  readonly getModel: Unary<GetModelRequest, GetModelResponse__Output>;
  /** Largest tensor in bytes that this transport can bring back. */
  readonly maxResponseBytes: number;
  /** Resolves when the service can be reached. */
  waitForReady(timeoutMs: number): Promise<void>;
  close(): Promise<void>;
}
