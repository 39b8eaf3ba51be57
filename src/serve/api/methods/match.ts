import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { Call } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { matchByFeatures } from '../matching/byFeatures.js';
import { matchByLocation } from '../matching/byLocation.js';
import { checkHomography } from '../matching/homography.js';

/** Match: pairs of cells of two images, by features or by location. */
export async function match(context: ServeContext, request: MatchRequest__Output, call: Call): Promise<MatchResponse> {
  checkHomography(request.homography);
  if (request.byLocation) return matchByLocation(context, request, request.byLocation, call);
  return matchByFeatures(context, request, request.byFeatures ?? undefined, call);
}
