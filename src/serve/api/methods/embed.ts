import { l2Normalize } from '../../../featureOps/l2Normalize.js';
import type { EmbedBatchRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedBatchRequest.js';
import type { EmbedBatchResponse } from '../../../proto/generated/vicregl/v1/EmbedBatchResponse.js';
import type { EmbedRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse } from '../../../proto/generated/vicregl/v1/EmbedResponse.js';
import type { EmbedStreamRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedStreamRequest.js';
import type { EmbedStreamResponse } from '../../../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import { runSync } from '../../../tensor/slices.js';
import { type Call, timed } from '../../call/call.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import type { ContextLender, ServeContext } from '../context.js';
import { admitImage, infer } from '../infer.js';
import { answerEach, checkBatch, itemMethod } from '../items.js';
import type { ItemMethod } from '../method.js';
import { globalOutput, modelId } from '../wire/model.js';
import { readDType, tensorMessage } from '../wire/wireTensor.js';

/** Embed: the global vector of one image. */
export async function embed(context: ServeContext, request: EmbedRequest__Output, call: Call): Promise<EmbedResponse> {
  const output = globalOutput(context.engine, request.space);
  const dtype = readDType(request.dtype);
  const { image } = await admitImage(context, request.image, 'image', call);
  const vector = await infer(context, image, output, call);
  return timed(call, 'encode', () => ({
    embedding: runSync(tensorMessage(request.l2Normalize ? runSync(l2Normalize(vector)) : vector, dtype)),
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
