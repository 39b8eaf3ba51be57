import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { FeatureMap } from '../../../proto/generated/vicregl/v1/FeatureMap.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';
import { gridMessage } from '../wire/grid.js';
import { modelId } from '../wire/model.js';
import type { WireDType } from '../wire/wireTensor.js';
import type { ExtractedMap } from './extract.js';
import { pcaResult } from './pca.js';
import type { PlannedMap } from './plan.js';

function mapMessage({ planned, features, coverage, reduced }: ExtractedMap) {
  return {
    features,
    grid: gridMessage(planned.usedGrid, planned.window),
    ...(coverage && { coverage: [...coverage] }),
    ...(reduced && { pca: pcaResult(reduced) }),
  } satisfies FeatureMap;
}

/** The response of extracted maps: one map by itself, or a list if the request named stages. */
export function featuresResponse(
  context: ServeContext,
  request: Pick<ExtractFeaturesRequest__Output, 'stages'>,
  maps: readonly ExtractedMap[],
): ExtractFeaturesResponse {
  const model = modelId(context);
  if (request.stages.length === 0) return { ...mapMessage(maps[0]!), model };
  return { maps: maps.map((map) => ({ ...mapMessage(map), stage: map.planned.stage })), model };
}

/** Describes the maps of a response for an error message. */
function describeMaps(maps: readonly PlannedMap[], dtype: WireDType): string {
  return maps
    .map(({ stage, usedGrid, vectors, dimensions }) => {
      const whole = vectors === usedGrid.rows * usedGrid.columns;
      const count = whole ? `${usedGrid.rows} x ${usedGrid.columns} cells` : `${vectors} vectors`;
      return `${maps.length > 1 ? `stage ${stage}: ` : ''}${count} with ${dimensions} channels in ${dtype}`;
    })
    .join(', ');
}

/**
 * Checks the size of a response before any vector is computed.
 * @param limit in bytes
 * @param ways to get a smaller response, beside a smaller dtype and size
 * @throws ServeError `too_large`
 */
export function checkResponseSize(
  limit: number,
  bytes: number,
  maps: readonly PlannedMap[],
  dtype: WireDType,
  ways: readonly string[],
): void {
  if (bytes <= limit) return;
  const smaller = dtype === 'float32' ? ['dtype float16 or int8'] : dtype === 'float16' ? ['dtype int8'] : [];
  throw new ServeError(
    'too_large',
    `features of ${describeMaps(maps, dtype)} are ${bytes} bytes, over the limit of ${limit} bytes; ask for ` +
      [...smaller, 'a smaller size (resize)', ...ways].join(', or '),
  );
}

/** Ways to stay below the limit of a unary response. */
export function unaryWays({ limits }: ServeContext, limit: number): readonly string[] {
  return [
    ...(limit < limits.maxResponseBytes
      ? [`max_response_bytes up to ${limits.maxResponseBytes} with as large a receive limit in the client`]
      : []),
    'a region',
    'ExtractFeaturesChunked',
  ];
}
