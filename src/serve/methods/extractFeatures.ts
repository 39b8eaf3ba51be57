import type { ExtractFeaturesRequest__Output } from '../../proto/generated/vicregl/v1/ExtractFeaturesRequest.js';
import type { ExtractFeaturesResponse } from '../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { Call } from '../call.js';
import { modelId, type ServeContext } from '../context.js';
import { DEFAULT_CLIENT_RESPONSE_BYTES } from '../limits.js';
import { infer } from '../queue/infer.js';
import { ServeError } from '../serveError.js';
import { type CellGrid, gridMessage, gridOf } from '../wire/grid.js';
import { readImage } from '../wire/image.js';
import { l2Normalize } from '../wire/l2Normalize.js';
import { localOutput } from '../wire/spaces.js';
import { readDType, tensorMessage, type WireDType, wireElementBytes } from '../wire/wireTensor.js';

/** Refuses an answer that is too large for the caller, before any work is done for it. */
function checkResponseBytes(
  context: ServeContext,
  grid: CellGrid,
  channels: number,
  dtype: WireDType,
  asked: number | undefined,
): void {
  const bytes = grid.rows * grid.cols * channels * wireElementBytes(dtype);
  const limit = Math.min(asked ?? DEFAULT_CLIENT_RESPONSE_BYTES, context.limits.maxResponseBytes);
  if (bytes <= limit) return;
  const ways = [
    ...(dtype === 'float32' ? ['dtype float16'] : []),
    'a smaller size (resize)',
    ...(limit < context.limits.maxResponseBytes
      ? [`max_response_bytes up to ${context.limits.maxResponseBytes} with as large a receive limit in the client`]
      : []),
  ];
  throw new ServeError(
    'too_large',
    `features of ${grid.rows} x ${grid.cols} cells with ${channels} channels in ${dtype} are ${bytes} bytes, over the ` +
      `limit of ${limit} bytes; ask for ${ways.join(', or ')}`,
  );
}

/** ExtractFeatures: the local vector of every cell, and where the cells lie in the original image. */
export async function extractFeatures(
  context: ServeContext,
  request: ExtractFeaturesRequest__Output,
  call: Call,
): Promise<ExtractFeaturesResponse> {
  const { dims, stride } = context.engine.manifest;
  const output = localOutput(context.engine, request.space, 'backbone');
  const dtype = readDType(request.dtype);
  const prepared = await readImage(context, request.image, 'image', call);
  const grid = gridOf(prepared, stride);
  const channels = output === 'maps' ? dims.representation : (dims.mapsEmbedding ?? 0);
  checkResponseBytes(context, grid, channels, dtype, request.maxResponseBytes);
  const maps = await infer(context, prepared.image, output, call);
  return {
    features: tensorMessage(request.l2Normalize ? l2Normalize(maps) : maps, dtype),
    grid: gridMessage(grid),
    model: modelId(context),
  };
}
