import type { ExtractFeaturesBatchRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesBatchRequest.js';
import type { ExtractFeaturesBatchResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesBatchResponse.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { ExtractFeaturesStreamRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesStreamRequest.js';
import type { ExtractFeaturesStreamResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesStreamResponse.js';
import type { Call } from '../../call/call.js';
import { DEFAULT_CLIENT_RESPONSE_BYTES, type ServeLimits } from '../../config/serveLimits.js';
import type { ContextLender, ServeContext } from '../context.js';
import { extract, type SizeCheck } from '../features/extract.js';
import {
  checkResponseSize,
  featuresResponse,
  type ResponseLimit,
  responseLimit,
  unaryWays,
} from '../features/response.js';
import { answerEach, checkBatch, itemMethod } from '../items.js';
import type { ItemMethod } from '../method.js';

/** Checks that the caller can receive the response: its own max_response_bytes, or gRPC's default limit. */
function checkUnarySize(
  context: ServeContext,
  { maxResponseBytes: asked }: Pick<ExtractFeaturesRequest__Output, 'maxResponseBytes'>,
): SizeCheck {
  const limit = responseLimit(context.limits, 'maxResponseBytes', asked, DEFAULT_CLIENT_RESPONSE_BYTES);
  return (bytes, maps, dtype) => checkResponseSize(limit, bytes, maps, dtype, unaryWays(context, limit));
}

/**
 * ExtractFeatures: the local vectors of one image, and where their cells lie in it.
 * @param check checks the size of the response
 */
export async function extractFeatures(
  context: ServeContext,
  request: ExtractFeaturesRequest__Output,
  call: Call,
  check: SizeCheck = checkUnarySize(context, request),
): Promise<ExtractFeaturesResponse> {
  return featuresResponse(context, request, await extract(context, request, call, check));
}

/** Bytes of an item in addition to its tensor: grid, model, or status. */
const ITEM_OVERHEAD = 1024;

/**
 * Divides the bytes of one response among the requests of a batch, in the order of the requests: a request is accepted or rejected
 * once all before it have been accepted or rejected, or have failed. The result thus does not depend on timing.
 * @param maxBytes maximum bytes of any response; the caller can raise a smaller `limit` up to this
 */
function shareBytes(limit: ResponseLimit, maxBytes: number, requests: number) {
  let left = limit.bytes;
  const ways = [
    'fewer images at a time',
    ...(limit.bytes < maxBytes ? [`max_response_bytes of up to ${maxBytes}`] : []),
    'ExtractFeaturesStream',
  ];
  const turns = Array.from({ length: requests }, () => {
    let done = (): void => {};
    const over = new Promise<void>((resolve) => {
      done = resolve;
    });
    return { over, done };
  });
  return {
    /** @throws ServeError `too_large` if the bytes do not fit after those of the requests before. */
    async take(index: number, ...[bytes, maps, dtype]: Parameters<SizeCheck>): Promise<void> {
      await turns[index - 1]?.over;
      checkResponseSize(limit, bytes, maps, dtype, ways, left);
      left -= bytes;
    },
    /** Lets the next request proceed, once all before have. */
    pass(index: number): void {
      const before = turns[index - 1]?.over ?? Promise.resolve();
      void before.then(turns[index]!.done);
    },
  };
}

/**
 * ExtractFeaturesBatch: the local vectors of several images; a failed image does not affect the others. A request of its own maximum keeps
 * to it; others have that of the batch, as their responses are parts of one message.
 */
export async function extractFeaturesBatch(
  models: ContextLender,
  limits: ServeLimits,
  { requests, maxResponseBytes }: ExtractFeaturesBatchRequest__Output,
  call: Call,
): Promise<ExtractFeaturesBatchResponse> {
  checkBatch(requests, limits);
  const standard = DEFAULT_CLIENT_RESPONSE_BYTES - ITEM_OVERHEAD * requests.length;
  const limit = responseLimit(limits, 'maxResponseBytes', maxResponseBytes, standard);
  const share = shareBytes(limit, limits.maxResponseBytes, requests.length);
  const results = await answerEach(requests, call, async (request, i) => {
    try {
      return await models.use(request.model, (context) => {
        const own = request.maxResponseBytes === undefined ? undefined : checkUnarySize(context, request);
        const check: SizeCheck = async (bytes, maps, dtype) => {
          await own?.(bytes, maps, dtype);
          await share.take(i, bytes, maps, dtype);
          share.pass(i);
        };
        return extractFeatures(context, request, call, check);
      });
    } finally {
      share.pass(i);
    }
  });
  return { results };
}

/** ExtractFeaturesStream: ExtractFeatures for every item. */
export const extractFeaturesStream = (
  models: ContextLender,
): ItemMethod<ExtractFeaturesStreamRequest__Output, ExtractFeaturesResponse, ExtractFeaturesStreamResponse> =>
  itemMethod(models, (context, request, call) => extractFeatures(context, request, call));
