import { cropToOriginal } from '../../../image/crop.js';
import { cellCentres, composeMaps, type Grid, gridOf } from '../../../image/geometry.js';
import { planInput } from '../../../image/resize.js';
import { matchLocationsInSlices } from '../../../match/locations.js';
import type { HomographyFit__Output } from '../../../proto/generated/vicregl/v1/HomographyFit.js';
import type { Image__Output } from '../../../proto/generated/vicregl/v1/Image.js';
import type { LocationMatching__Output } from '../../../proto/generated/vicregl/v1/LocationMatching.js';
import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { MatchSide__Output } from '../../../proto/generated/vicregl/v1/MatchSide.js';
import type { Call } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { inField, invalid } from '../wire/fields.js';
import { readImage, readResizePolicy } from '../wire/image.js';
import { checkHomographyCost, withHomography } from './homography.js';
import { matchResponse, readTopGamma } from './response.js';
import { checkLocationCost, matchInTurn, runBoth } from './run.js';

/** A crop and its cells. */
export interface CropGrid {
  /** Its name in the request, for errors. */
  readonly field: string;
  readonly crop: NonNullable<Image__Output['crop']>;
  readonly grid: Grid;
}

/** The grid of a crop whose pixels were not sent. */
function gridWithoutPixels(context: ServeContext, image: Image__Output, field: string): Grid {
  const { manifest } = context.engine;
  const crop = image.crop!;
  if (crop.width < 1 || crop.height < 1) {
    throw invalid(`${field}.crop: ${crop.width} x ${crop.height} is empty; both sides must be at least 1 pixel`);
  }
  try {
    const planned = planInput(crop, readResizePolicy(image, manifest), manifest.stride, context.limits.output);
    const toOriginal = composeMaps(cropToOriginal(crop, crop), planned.toOriginal);
    return gridOf({ image: planned.size, toOriginal }, manifest.stride);
  } catch (error) {
    throw inField(field, error);
  }
}

/** Reads one side of a match by location: a crop, with or without pixels. */
export async function readCropGrid(
  context: ServeContext,
  side: MatchSide__Output | null,
  field: string,
  call: Call,
): Promise<CropGrid> {
  const image = side?.image ?? null;
  if (image === null && side?.source) {
    const given = side.source === 'featureRef' ? 'feature_ref' : side.source;
    throw invalid(`${field}.${given}: by_location accepts only crops (image)`);
  }
  if (image === null) throw invalid(`${field}: missing; by_location needs two crops of one original`);
  if (image.crop === null) {
    throw invalid(`${field}.crop: missing; by_location needs two crops of one original; send them, or use by_features`);
  }
  const { crop } = image;
  if (image.source === undefined) return { field, crop, grid: gridWithoutPixels(context, image, field) };
  const prepared = await readImage(context, image, field, call);
  return { field, crop, grid: gridOf(prepared, context.engine.manifest.stride) };
}

/** Checks that a crop without pixels is inside the original, if the size of that is known from the pixels of the other side. */
function checkInside({ field, crop, grid }: CropGrid, { original }: Grid): void {
  if (grid.original !== undefined || original === undefined) return;
  const { top, left, height, width } = crop;
  if (left + width <= original.width && top + height <= original.height) return;
  throw invalid(
    `${field}.crop: top ${top}, left ${left}, height ${height}, width ${width} reaches outside the original of height ` +
      `${original.height}, width ${original.width}, as given by the other side; keep it inside (sizes are those after EXIF ` +
      'orientation)',
  );
}

/** Matching by location: pairs cells whose centres are nearest in the original. The network does not run. */
export async function matchByLocation(
  context: ServeContext,
  request: MatchRequest__Output,
  matching: LocationMatching__Output,
  call: Call,
): Promise<MatchResponse> {
  const [a, b] = await runBoth(call, (sub) => [
    readCropGrid(context, request.a, 'a', sub),
    readCropGrid(context, request.b, 'b', sub),
  ]);
  return matchCrops(context, a, b, matching, request.homography, call);
}

/** Matches the cells of two crops of one original. */
export async function matchCrops(
  context: ServeContext,
  one: CropGrid,
  other: CropGrid,
  matching: LocationMatching__Output,
  homography: HomographyFit__Output | null,
  call: Call,
): Promise<MatchResponse> {
  const [a, b] = [one.grid, other.grid];
  checkInside(one, b);
  checkInside(other, a);
  const { maxDistance = Number.POSITIVE_INFINITY } = matching;
  if (!(maxDistance >= 0)) throw invalid(`by_location.max_distance: ${maxDistance} must be at least 0 pixels`);
  if (a.original && b.original && (a.original.width !== b.original.width || a.original.height !== b.original.height)) {
    throw invalid(
      `a and b: originals of ${a.original.width} x ${a.original.height} and ${b.original.width} x ${b.original.height} ` +
        'pixels are not one image; send two crops of one original, or use by_features',
    );
  }
  const topGamma = readTopGamma(matching.topGamma, a.rows * a.columns);
  checkLocationCost(context, a, b);
  checkHomographyCost(context, homography, topGamma ?? a.rows * a.columns);
  const options = { order: 'source', ...(topGamma !== undefined && { topGamma }) } as const;
  return matchInTurn(context, call, async () => {
    const matches = await matchLocationsInSlices(cellCentres(a), cellCentres(b), options, call.signal);
    const near = matches.filter(({ distance }) => distance <= maxDistance);
    return withHomography(matchResponse(context, a, b, near), homography, b, call);
  });
}
