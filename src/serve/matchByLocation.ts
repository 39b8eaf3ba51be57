import { cropToOriginal } from '../image/crop.js';
import { ImageError } from '../image/imageError.js';
import { checkMultiple, checkOutputPixels } from '../image/resize.js';
import { matchLocations } from '../match/locations.js';
import type { Image__Output } from '../proto/generated/vicregl/v1/Image.js';
import type { LocationMatching__Output } from '../proto/generated/vicregl/v1/LocationMatching.js';
import type { MatchRequest__Output } from '../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../proto/generated/vicregl/v1/MatchResponse.js';
import { bothOf } from './bothOf.js';
import { type Call, timed } from './call.js';
import type { ServeContext } from './context.js';
import { type CellGrid, gridOf } from './grid.js';
import { readImage } from './image.js';
import { centresOf, matchResponse, readTopGamma } from './matchResponse.js';
import { readResizePolicy } from './resizePolicy.js';
import { ServeError } from './serveError.js';

function invalid(message: string): ServeError {
  return new ServeError('invalid_argument', message);
}

/** The grid of a crop whose pixels were not sent. */
function gridWithoutPixels(context: ServeContext, image: Image__Output, field: string): CellGrid {
  const { manifest } = context.engine;
  const crop = image.crop!;
  const policy = readResizePolicy(image, manifest);
  if (policy.kind !== 'fit') {
    throw invalid(`${field}.resize: ${policy.kind} needs the pixels; send them, or use fit, or leave resize out`);
  }
  if (crop.width < 1 || crop.height < 1) {
    throw invalid(`${field}.crop: ${crop.width} x ${crop.height} is empty; both sides must be at least 1 pixel`);
  }
  try {
    checkMultiple('width', policy.width, manifest.stride);
    checkMultiple('height', policy.height, manifest.stride);
    checkOutputPixels(policy.width, policy.height, context.limits.output);
  } catch (error) {
    throw error instanceof ImageError ? invalid(`${field}.fit: ${error.message}`) : error;
  }
  return gridOf({ image: policy, toOriginal: cropToOriginal(crop, policy) }, manifest.stride);
}

async function readGrid(
  context: ServeContext,
  image: Image__Output | null,
  field: string,
  call: Call,
): Promise<CellGrid> {
  if (image === null) throw invalid(`${field}: missing; by_location takes two crops of one original`);
  if (image.crop === null) {
    throw invalid(`${field}.crop: missing; by_location takes two crops of one original, or use by_features`);
  }
  if (image.source === undefined) return gridWithoutPixels(context, image, field);
  return gridOf(await readImage(context, image, field, call), context.engine.manifest.stride);
}

/** Location-based matching: cells whose centres are nearest in the original. No network runs. */
export async function matchByLocation(
  context: ServeContext,
  request: MatchRequest__Output,
  matching: LocationMatching__Output,
  call: Call,
): Promise<MatchResponse> {
  const { maxDistance = Number.POSITIVE_INFINITY } = matching;
  if (!(maxDistance >= 0)) throw invalid(`by_location.max_distance: ${maxDistance} must be at least 0 pixels`);
  const [a, b] = await bothOf(call, (sub) => [
    readGrid(context, request.a, 'a', sub),
    readGrid(context, request.b, 'b', sub),
  ]);
  if (a.original && b.original && (a.original.width !== b.original.width || a.original.height !== b.original.height)) {
    throw invalid(
      `a and b: originals of ${a.original.width} x ${a.original.height} and ${b.original.width} x ${b.original.height} ` +
        'pixels are not one image; by_location takes two crops of one original, or use by_features',
    );
  }
  const topGamma = readTopGamma(matching.topGamma, a.rows * a.cols);
  const matches = await timed(call, 'match', () =>
    matchLocations(centresOf(a), centresOf(b), { order: 'source', ...(topGamma !== undefined && { topGamma }) }),
  );
  return matchResponse(
    context,
    a,
    b,
    matches.filter(({ distance }) => distance <= maxDistance),
  );
}
