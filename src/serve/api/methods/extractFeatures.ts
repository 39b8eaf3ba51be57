import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { Call } from '../../call/call.js';
import { DEFAULT_CLIENT_RESPONSE_BYTES } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';
import { extract, type SizeCheck } from '../features/extract.js';
import { featuresResponse } from '../features/response.js';
import { refuseOver, unaryWays } from '../features/responseLimit.js';

/** Refuses what the caller cannot receive, by its own word or by gRPC's default. */
export function checkUnarySize(
  context: ServeContext,
  { maxResponseBytes = DEFAULT_CLIENT_RESPONSE_BYTES }: Pick<ExtractFeaturesRequest__Output, 'maxResponseBytes'>,
): SizeCheck {
  const limit = Math.min(maxResponseBytes, context.limits.maxResponseBytes);
  return (bytes, maps, dtype) => refuseOver(limit, bytes, maps, dtype, unaryWays(context, limit));
}

/**
 * ExtractFeatures: the local vectors of one image, and where their cells lie in it.
 * @param check bounds the size of the answer
 */
export async function extractFeatures(
  context: ServeContext,
  request: ExtractFeaturesRequest__Output,
  call: Call,
  check: SizeCheck = checkUnarySize(context, request),
): Promise<ExtractFeaturesResponse> {
  return featuresResponse(context, request, await extract(context, request, call, check));
}
