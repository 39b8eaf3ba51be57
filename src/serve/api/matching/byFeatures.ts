import type { OutputName } from '../../../engine/engine.js';
import type { Grid } from '../../../image/geometry.js';
import type { MatchDistance } from '../../../match/distance.js';
import { type FeatureMatchOptions, matchFeaturesBy, matchFeaturesInSlices } from '../../../match/features.js';
import type { FeatureMatching__Output } from '../../../proto/generated/vicregl/v1/FeatureMatching.js';
import type { HomographyFit__Output } from '../../../proto/generated/vicregl/v1/HomographyFit.js';
import type { MatchDistance__Output } from '../../../proto/generated/vicregl/v1/MatchDistance.js';
import type { MatchRequest__Output } from '../../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../../proto/generated/vicregl/v1/MatchResponse.js';
import type { Call } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { checkRange, invalid } from '../wire/fields.js';
import { localOutput } from '../wire/model.js';
import { checkHomographyCost, withHomography } from './homography.js';
import { matchResponse, readTopGamma } from './response.js';
import { checkMatchCost, matchInTurn, runBoth } from './run.js';
import { acquireRead, type MatchSource, readSource } from './source.js';

/**
 * Multiplications up to which a match runs in loops on the main thread, in about a millisecond: sending it to a worker would take
 * as long (scripts/bench/matching.ts --small).
 */
const LOOP_PRODUCTS = 1_000_000;

/** @throws ServeError `invalid_argument` for a value that this version does not know: protobuf passes it as a number. */
function readDistance(distance: MatchDistance__Output | undefined): MatchDistance {
  switch (distance) {
    case undefined:
    case 'MATCH_DISTANCE_UNSPECIFIED':
    case 'MATCH_DISTANCE_L2':
      return 'l2';
    case 'MATCH_DISTANCE_COSINE':
      return 'cosine';
    case 'MATCH_DISTANCE_CENTRED_COSINE':
      return 'centredCosine';
    default:
      throw invalid(`by_features.distance: ${String(distance)} is not a value of this version of the API`);
  }
}

function readOptions(matching: FeatureMatching__Output | undefined, cells: number): FeatureMatchOptions {
  const { ratio, minSimilarity } = matching ?? {};
  checkRange('by_features.ratio', ratio, (value) => value > 0 && value <= 1, '(0, 1]; 0.8 is usual');
  checkRange('by_features.min_similarity', minSimilarity, (value) => value >= -1 && value <= 1, '-1 to 1');
  const topGamma = readTopGamma(matching?.topGamma, cells);
  return {
    ...(topGamma !== undefined && { topGamma }),
    ...(ratio !== undefined && { ratio }),
    ...(minSimilarity !== undefined && { minSimilarity }),
    distance: readDistance(matching?.distance),
    mutual: matching?.mutual ?? false,
    order: 'source',
  };
}

/** Maximum number of pairs of a match. */
function maxPairs(a: Grid, b: Grid, { topGamma, mutual }: FeatureMatchOptions): number {
  const cells = a.rows * a.columns;
  return Math.min(topGamma ?? cells, mutual ? b.rows * b.columns : cells);
}

/** The network output whose vectors are compared. @throws ServeError as `localOutput`. */
export function outputOf({ engine }: ServeContext, matching: FeatureMatching__Output | undefined): OutputName {
  return localOutput(engine, matching?.space ?? 'LOCAL_SPACE_UNSPECIFIED', 'projector where there is one');
}

/** Matches the cells of two sides: small maps in loops on the main thread, others in an engine worker. */
export async function matchFeatureSources(
  context: ServeContext,
  a: MatchSource,
  b: MatchSource,
  matching: FeatureMatching__Output | undefined,
  homography: HomographyFit__Output | null,
  call: Call,
): Promise<MatchResponse> {
  if (a.channels !== b.channels) {
    throw invalid(
      `a and b: vectors of ${a.channels} and of ${b.channels} channels cannot be compared; both sides must be of one space or of one stage`,
    );
  }
  const options = readOptions(matching, a.grid.rows * a.grid.columns);
  const products = checkMatchCost(context, a.grid, b.grid, a.channels);
  checkHomographyCost(context, homography, maxPairs(a.grid, b.grid, options));
  const permit = acquireRead(context, a, b);
  try {
    const [mapA, mapB] = await runBoth(call, (sub) => [a.vectors(sub), b.vectors(sub)]);
    const { nearest } = context.engine;
    return await matchInTurn(context, call, async () => {
      const matches =
        products <= LOOP_PRODUCTS
          ? await matchFeaturesInSlices(mapA, mapB, options, call.signal)
          : await matchFeaturesBy(nearest, mapA, mapB, options, call.signal);
      const response = {
        ...matchResponse(context, a.grid, b.grid, matches),
        ...(a.ref !== undefined && { featureRefA: a.ref }),
        ...(b.ref !== undefined && { featureRefB: b.ref }),
      };
      return withHomography(response, homography, b.grid, call);
    });
  } finally {
    permit.release();
  }
}

/** Matching by features: runs the network on the images (in one batch if their sizes agree), then pairs the cells. */
export async function matchByFeatures(
  context: ServeContext,
  request: MatchRequest__Output,
  matching: FeatureMatching__Output | undefined,
  call: Call,
): Promise<MatchResponse> {
  const output = outputOf(context, matching);
  const [a, b] = await runBoth(call, (sub) => [
    readSource(context, request.a, 'a', output, sub),
    readSource(context, request.b, 'b', output, sub),
  ]);
  return matchFeatureSources(context, a, b, matching, request.homography, call);
}
