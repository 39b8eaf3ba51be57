import { l2Normalize } from '../../../featureOps/l2Normalize.js';
import type { EmbedBatchRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedBatchRequest.js';
import type { EmbedBatchResponse } from '../../../proto/generated/vicregl/v1/EmbedBatchResponse.js';
import type { EmbedRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse } from '../../../proto/generated/vicregl/v1/EmbedResponse.js';
import type { EmbedStreamRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedStreamRequest.js';
import type { EmbedStreamResponse } from '../../../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import { runSync } from '../../../tensor/slices.js';
import type { Tensor } from '../../../tensor/tensor.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import type { ContextLender, ServeContext } from '../context.js';
import { admitImage, infer } from '../infer.js';
import { answerEach, checkBatch, itemMethod } from '../items.js';
import type { ItemMethod } from '../method.js';
import { globalOutput, modelId } from '../wire/model.js';
import { readDType, tensorMessage, type WireDType, type WireTensor } from '../wire/wireTensor.js';

/** A global vector [C] as the message that a request asks for. */
export function embeddingMessage(
  vector: Tensor<'float32'>,
  { l2Normalize: normalized, dtype }: { readonly l2Normalize: boolean; readonly dtype: WireDType },
): WireTensor {
  return runSync(tensorMessage(normalized ? runSync(l2Normalize(vector)) : vector, dtype));
}

/** Embed: the global vector of one image. */
export async function embed(context: ServeContext, request: EmbedRequest__Output, call: Call): Promise<EmbedResponse> {
  const output = globalOutput(context.engine, request.space);
  const dtype = readDType(request.dtype);
  const { image } = await admitImage(context, request.image, 'image', call);
  const vector = await infer(context, image, output, call);
  return timed(call, 'encode', () => ({
    embedding: embeddingMessage(vector, { l2Normalize: request.l2Normalize, dtype }),
    model: modelId(context),
  }));
}

/** EmbedBatch: the global vectors of several images; a failed image does not affect the others. */
export async function embedBatch(
  models: ContextLender,
  limits: ServeLimits,
  { requests }: EmbedBatchRequest__Output,
  call: Call,
): Promise<EmbedBatchResponse> {
  checkBatch(requests, limits);
  const results = await answerEach(requests, call, (request) =>
    models.use(request.model, (context) => embed(context, request, call)),
  );
  return { results };
}

/** EmbedStream: Embed for every item. */
export const embedStream = (
  models: ContextLender,
): ItemMethod<EmbedStreamRequest__Output, EmbedResponse, EmbedStreamResponse> => itemMethod(models, embed);
