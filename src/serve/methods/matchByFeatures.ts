import type { PreparedImage } from '../../image/types.js';
import { type FeatureMap, type FeatureMatchOptions, matchFeaturesInTurns } from '../../match/features.js';
import type { FeatureMatching__Output } from '../../proto/generated/vicregl/v1/FeatureMatching.js';
import type { MatchRequest__Output } from '../../proto/generated/vicregl/v1/MatchRequest.js';
import type { MatchResponse } from '../../proto/generated/vicregl/v1/MatchResponse.js';
import type { Tensor } from '../../tensor/tensor.js';
import type { Call } from '../call.js';
import type { ServeContext } from '../context.js';
import { infer } from '../queue/infer.js';
import { ServeError } from '../serveError.js';
import { gridOf } from '../wire/grid.js';
import { readImage } from '../wire/image.js';
import { localOutput } from '../wire/spaces.js';
import { bothOf } from './bothOf.js';
import { checkMatchCost, matchInTurn } from './matchInTurn.js';
import { matchResponse, readTopGamma } from './matchResponse.js';

function checkRange(field: string, value: number | undefined, inside: (value: number) => boolean, range: string): void {
  if (value === undefined || inside(value)) return;
  throw new ServeError('invalid_argument', `by_features.${field}: ${value} is outside ${range}`);
}

function readOptions(matching: FeatureMatching__Output | undefined, cells: number): FeatureMatchOptions {
  const { ratio, minSimilarity } = matching ?? {};
  checkRange('ratio', ratio, (value) => value > 0 && value <= 1, '(0, 1]; 0.8 is usual');
  checkRange('min_similarity', minSimilarity, (value) => value >= -1 && value <= 1, '-1 to 1');
  const topGamma = readTopGamma(matching?.topGamma, cells);
  return {
    ...(topGamma !== undefined && { topGamma }),
    ...(ratio !== undefined && { ratio }),
    ...(minSimilarity !== undefined && { minSimilarity }),
    mutual: matching?.mutual ?? false,
    order: 'source',
  };
}

function featureMap(maps: Tensor<'float32'>): FeatureMap {
  const [rows = 0, cols = 0, channels = 0] = maps.shape;
  return { rows, cols, channels, data: maps.data };
}

/** Feature-based matching: both images through the network (in one batch where their sizes agree), then paired. */
export async function matchByFeatures(
  context: ServeContext,
  request: MatchRequest__Output,
  matching: FeatureMatching__Output | undefined,
  call: Call,
): Promise<MatchResponse> {
  const { engine } = context;
  const output = localOutput(engine, matching?.space ?? 'LOCAL_SPACE_UNSPECIFIED', 'projector where there is one');
  const [a, b] = await bothOf(call, (sub) => [
    readImage(context, request.a?.image ?? null, 'a', sub),
    readImage(context, request.b?.image ?? null, 'b', sub),
  ]);
  const gridA = gridOf(a, engine.manifest.stride);
  const gridB = gridOf(b, engine.manifest.stride);
  const options = readOptions(matching, gridA.rows * gridA.cols);
  const { dims } = engine.manifest;
  checkMatchCost(context, gridA, gridB, output === 'maps' ? dims.representation : (dims.mapsEmbedding ?? 0));
  const inferred = ({ image }: PreparedImage, sub: Call) => infer(context, image, output, sub);
  const [mapsA, mapsB] = await bothOf(call, (sub) => [inferred(a, sub), inferred(b, sub)]);
  const matches = await matchInTurn(context, call, () =>
    matchFeaturesInTurns(featureMap(mapsA), featureMap(mapsB), options, call.signal),
  );
  return matchResponse(context, gridA, gridB, matches);
}
