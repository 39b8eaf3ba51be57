import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { FeatureMap } from '../../../proto/generated/vicregl/v1/FeatureMap.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeLimits } from '../../config/serveLimits.js';
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

/** What bounds the features of one response. */
export interface ResponseLimit {
  readonly bytes: number;
  /** The configuration key, or the field of the request. */
  readonly name: string;
}

/**
 * The smaller of the caller's and the server's limit.
 * @param asked `max_response_bytes` of the request
 * @param standard its default in bytes
 */
export function responseLimit(
  limits: ServeLimits,
  key: 'maxResponseBytes' | 'maxChunkedBytes',
  asked: number | undefined,
  standard: number = limits[key],
): ResponseLimit {
  const own = asked ?? standard;
  if (own >= limits[key]) return { bytes: limits[key], name: key };
  return { bytes: own, name: asked === undefined ? 'the default of max_response_bytes' : 'max_response_bytes' };
}

/**
 * Checks the size of a response before any vector is computed.
 * @param ways to get a smaller response, in addition to a smaller dtype and size
 * @param left bytes of the limit that the other requests of a batch leave
 * @throws ServeError `too_large`
 */
export function checkResponseSize(
  limit: ResponseLimit,
  bytes: number,
  maps: readonly PlannedMap[],
  dtype: WireDType,
  ways: readonly string[],
  left = limit.bytes,
): void {
  if (bytes <= left) return;
  const smaller = dtype === 'float32' ? ['dtype float16 or int8'] : dtype === 'float16' ? ['dtype int8'] : [];
  throw new ServeError(
    'too_large',
    `features of ${describeMaps(maps, dtype)} are ${bytes} bytes, over ${
      left < limit.bytes ? `the ${left} bytes that the requests before leave of ` : ''
    }the limit of ${limit.bytes} bytes (${limit.name}); ask for ` +
      [...smaller, 'a smaller size (resize)', ...ways].join(', or '),
  );
}

/** Ways to stay below the limit of a unary response. */
export function unaryWays({ limits }: ServeContext, limit: ResponseLimit): readonly string[] {
  return [
    ...(limit.bytes < limits.maxResponseBytes
      ? [`max_response_bytes up to ${limits.maxResponseBytes} with as large a receive limit in the client`]
      : []),
    'a region',
    'ExtractFeaturesChunked',
  ];
}
