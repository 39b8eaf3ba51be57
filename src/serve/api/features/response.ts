import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { FeatureMap } from '../../../proto/generated/vicregl/v1/FeatureMap.js';
import { modelId, type ServeContext } from '../context.js';
import { gridMessage } from '../wire/grid.js';
import type { ExtractedMap } from './extract.js';
import { pcaResult } from './pca.js';

function mapMessage({ planned, features, coverage, reduced }: ExtractedMap) {
  return {
    features,
    grid: gridMessage(planned.usedGrid, planned.window),
    ...(coverage && { coverage: [...coverage] }),
    ...(reduced && { pca: pcaResult(reduced) }),
  } satisfies FeatureMap;
}

/** The response of extracted maps: on their own, or listed where the request named stages. */
export function featuresResponse(
  context: ServeContext,
  request: Pick<ExtractFeaturesRequest__Output, 'stages'>,
  maps: readonly ExtractedMap[],
): ExtractFeaturesResponse {
  const model = modelId(context);
  if (request.stages.length === 0) return { ...mapMessage(maps[0]!), model };
  return { maps: maps.map((map) => ({ ...mapMessage(map), stage: map.planned.stage })), model };
}
