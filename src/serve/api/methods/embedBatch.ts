import type { EmbedBatchRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedBatchRequest.js';
import type { EmbedBatchResponse } from '../../../proto/generated/vicregl/v1/EmbedBatchResponse.js';
import type { Call } from '../../call/call.js';
import type { ServeLimits } from '../../config/serveLimits.js';
import type { ContextLender } from '../context.js';
import { answerEach, checkBatch } from './batch.js';
import { embed } from './embed.js';

/** EmbedBatch: the global vectors of several images; a wrong image costs its own answer only. */
export async function embedBatch(
  models: ContextLender,
  limits: ServeLimits,
  { requests }: EmbedBatchRequest__Output,
  call: Call,
): Promise<EmbedBatchResponse> {
  checkBatch(requests, limits, 'requests');
  const results = await answerEach(requests, call, (request) =>
    models.use(request.model, (context) => embed(context, request, call)),
  );
  return { results };
}
