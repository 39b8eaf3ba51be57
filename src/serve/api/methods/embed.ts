import { l2Normalize } from '../../../dense/l2Normalize.js';
import { atOnce } from '../../../match/turns.js';
import type { EmbedRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedRequest.js';
import type { EmbedResponse } from '../../../proto/generated/vicregl/v1/EmbedResponse.js';
import { type Call, timed } from '../../call/call.js';
import { admitImage } from '../admitImage.js';
import { modelId, type ServeContext } from '../context.js';
import { infer } from '../infer.js';
import { globalOutput } from '../wire/model.js';
import { readDType, tensorMessage } from '../wire/wireTensor.js';

/** Embed: the global vector of one image. */
export async function embed(context: ServeContext, request: EmbedRequest__Output, call: Call): Promise<EmbedResponse> {
  const output = globalOutput(context.engine, request.space);
  const dtype = readDType(request.dtype);
  const { image } = await admitImage(context, request.image, 'image', call);
  const vector = await infer(context, image, output, call);
  return timed(call, 'encode', () => ({
    embedding: atOnce(tensorMessage(request.l2Normalize ? atOnce(l2Normalize(vector)) : vector, dtype)),
    model: modelId(context),
  }));
}
