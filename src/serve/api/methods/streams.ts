import type { EmbedResponse } from '../../../proto/generated/vicregl/v1/EmbedResponse.js';
import type { EmbedStreamRequest__Output } from '../../../proto/generated/vicregl/v1/EmbedStreamRequest.js';
import type { EmbedStreamResponse } from '../../../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import type { ExtractFeaturesResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesResponse.js';
import type { ExtractFeaturesStreamRequest__Output } from '../../../proto/generated/vicregl/v1/ExtractFeaturesStreamRequest.js';
import type { ExtractFeaturesStreamResponse } from '../../../proto/generated/vicregl/v1/ExtractFeaturesStreamResponse.js';
import type { Call } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import type { ContextLender, ServeContext } from '../context.js';
import type { ItemMethod } from '../method.js';
import { embed } from './embed.js';
import { extractFeatures } from './extractFeatures.js';
import { itemStatus, phaseTimes } from './itemStatus.js';

/** Longest id of an item, in characters: it is echoed, and goes into no log. */
const MAX_ID = 256;

/** Answers the items of a stream with what the unary method answers; every item finds its model anew. */
function itemMethod<Request extends { readonly model: string }, Response>(
  models: ContextLender,
  answer: (context: ServeContext, request: Request, call: Call) => Promise<Response>,
) {
  type Item = { readonly id: string; readonly request: Request | null };
  return {
    answer(item: Item, call: Call) {
      if (item.id.length > MAX_ID) {
        throw new ServeError('invalid_argument', `id: ${item.id.length} characters; at most ${MAX_ID} are echoed`);
      }
      const { request } = item;
      if (request === null) throw new ServeError('invalid_argument', 'request: missing; every item carries one');
      return models.use(request.model, (context) => answer(context, request, call));
    },
    wrap: (item: Item, response: Response, seconds: Parameters<typeof phaseTimes>[0]) => ({
      id: item.id,
      response,
      times: phaseTimes(seconds),
    }),
    refuse: (item: Item, status: Parameters<typeof itemStatus>[0], seconds: Parameters<typeof phaseTimes>[0]) => ({
      id: item.id.slice(0, MAX_ID),
      status: itemStatus(status),
      times: phaseTimes(seconds),
    }),
  };
}

/** EmbedStream: Embed for every item. */
export const embedStream = (
  models: ContextLender,
): ItemMethod<EmbedStreamRequest__Output, EmbedResponse, EmbedStreamResponse> => itemMethod(models, embed);

/** ExtractFeaturesStream: ExtractFeatures for every item. */
export const extractFeaturesStream = (
  models: ContextLender,
): ItemMethod<ExtractFeaturesStreamRequest__Output, ExtractFeaturesResponse, ExtractFeaturesStreamResponse> =>
  itemMethod(models, (context, request, call) => extractFeatures(context, request, call));
