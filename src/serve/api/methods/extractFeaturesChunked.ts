import type { ExtractFeaturesChunk } from '../../../proto/generated/vicregl/v1/ExtractFeaturesChunk.js';
import type { ExtractFeaturesRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import { elementCount } from '../../../tensor/tensor.js';
import type { Call } from '../../call/call.js';
import type { ServeContext } from '../context.js';
import { type ExtractedMap, extract } from '../features/extract.js';
import { checkResponseSize, featuresResponse, responseLimit } from '../features/response.js';
import type { StreamedAnswer } from '../method.js';
import type { WireTensor } from '../wire/wireTensor.js';

/** Bytes of one block: far below gRPC's default limit of 4 MiB, and large compared with the cost of a message. */
const BLOCK_BYTES = 1024 * 1024;

const empty = new Uint8Array(0);

/** The response with dtype and shape of its tensors but without their data. */
function header(response: ExtractFeaturesResponse): ExtractFeaturesResponse {
  const described = (tensor: ExtractFeaturesResponse['features']) => ({ ...tensor, data: empty, scales: empty });
  return {
    ...response,
    ...(response.features && { features: described(response.features) }),
    ...(response.maps && { maps: response.maps.map((map) => ({ ...map, features: described(map.features) })) }),
  };
}

/** Vectors per block: whole rows of a map if at least one fits. */
function vectorsPerBlock({ shape, data }: WireTensor): number {
  const vectors = elementCount(shape.slice(0, -1));
  const fitting = Math.max(1, Math.floor(BLOCK_BYTES / (data.byteLength / vectors)));
  const row = shape.length === 3 ? shape[1]! : 1;
  return fitting < row ? fitting : fitting - (fitting % row);
}

function* blocks(map: number, { features }: ExtractedMap): Generator<ExtractFeaturesChunk, void> {
  const { shape, data, scales } = features;
  const vectors = elementCount(shape.slice(0, -1));
  const bytes = data.byteLength / vectors;
  const count = vectorsPerBlock(features);
  for (let first = 0; first < vectors; first += count) {
    const end = Math.min(vectors, first + count);
    yield {
      block: {
        map,
        firstVector: first,
        data: data.subarray(first * bytes, end * bytes),
        ...(scales && { scales: scales.subarray(first * 4, end * 4) }),
      },
    };
  }
}

function* chunks(
  response: ExtractFeaturesResponse,
  maps: readonly ExtractedMap[],
): Generator<ExtractFeaturesChunk, void> {
  yield { header: header(response) };
  for (const [i, map] of maps.entries()) yield* blocks(i, map);
}

/** ExtractFeaturesChunked: the response of ExtractFeatures as a header and blocks of vectors. */
export async function extractFeaturesChunked(
  context: ServeContext,
  request: ExtractFeaturesRequest__Output,
  call: Call,
): Promise<StreamedAnswer<ExtractFeaturesChunk>> {
  const { maxChunkedBytes } = context.limits;
  const limit = responseLimit(context.limits, 'maxChunkedBytes', request.maxResponseBytes);
  const ways = ['a region', ...(limit.bytes < maxChunkedBytes ? [`max_response_bytes up to ${maxChunkedBytes}`] : [])];
  const maps = await extract(context, request, call, (bytes, planned, dtype) =>
    checkResponseSize(limit, bytes, planned, dtype, ways),
  );
  return {
    bytes: maps.reduce((sum, { planned }) => sum + planned.bytes, 0),
    messages: chunks(featuresResponse(context, request, maps), maps),
  };
}
