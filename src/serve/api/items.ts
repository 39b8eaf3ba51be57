import type { EmbedStreamResponse } from '../../proto/generated/vicregl/v1/EmbedStreamResponse.js';
import type { PhaseTimes } from '../../proto/generated/vicregl/v1/PhaseTimes.js';
import { status } from '../../proto/status.js';
import { statusMessage } from '../../proto/statusDetails.js';
import type { Call } from '../call/call.js';
import { type Status, toStatus } from '../call/errors.js';
import type { Phase } from '../call/phases.js';
import type { ServeLimits } from '../config/serveLimits.js';
import type { ContextLender, ServeContext } from './context.js';
import { checkCount, invalid } from './wire/fields.js';

/** Items of batches and streams: each is handled like a unary call, and a failed item has its own status. */

/** The message of the status of one item. */
function itemStatus(status: Status): NonNullable<EmbedStreamResponse['status']> {
  return statusMessage(status);
}

/** The message of the phases of one item, in ms. */
function phaseTimes(seconds: ReadonlyMap<Phase, number>): PhaseTimes {
  const ms = (phase: Phase): number => (seconds.get(phase) ?? 0) * 1000;
  return {
    receiveMs: ms('receive'),
    decodeMs: ms('decode'),
    waitMs: ms('wait'),
    queueMs: ms('queue'),
    inferenceMs: ms('inference'),
    matchMs: ms('match'),
    encodeMs: ms('encode'),
  };
}

/**
 * Checks the number of requests of a batch.
 * @throws ServeError `invalid_argument` for 0, or for more than the limit.
 */
export function checkBatch(requests: readonly unknown[], limits: ServeLimits): void {
  const ways = { none: `send 1 to ${limits.batchRequests}`, tooMany: 'send several requests, or a stream' };
  checkCount('requests', requests, limits, 'batchRequests', ways);
}

type ItemResult<Response> = { readonly response: Response } | { readonly status: ReturnType<typeof itemStatus> };

/**
 * Handles the requests of a batch concurrently, so that their images can share runs. A failed request has a status in its place.
 * @throws the reason of the call's signal if the call is aborted.
 */
export async function answerEach<Request, Response>(
  requests: readonly Request[],
  call: Call,
  answer: (request: Request, index: number) => Promise<Response>,
): Promise<ItemResult<Response>[]> {
  const results = await Promise.all(
    requests.map(async (request, i): Promise<ItemResult<Response>> => {
      try {
        const response = await answer(request, i);
        call.observeItem?.(status.OK);
        return { response };
      } catch (error) {
        // An aborted call fails as a whole; any other error is the item's.
        call.signal.throwIfAborted();
        const failure = toStatus(error);
        // An item has no deadline of its own: after its run, only the whole call can exceed its deadline.
        call.observeItem?.(failure.code, error);
        return { status: itemStatus(failure) };
      }
    }),
  );
  return results;
}

/** Maximum length of an item's id in characters: it is echoed in the response. It is not logged. */
const MAX_ID = 256;

/** Handles each item of a stream by the unary method. The model is looked up for every item, since it may be reloaded. */
export function itemMethod<Request extends { readonly model: string }, Response>(
  models: ContextLender,
  answer: (context: ServeContext, request: Request, call: Call) => Promise<Response>,
) {
  type Item = { readonly id: string; readonly request: Request | null };
  return {
    async answer(item: Item, call: Call) {
      if (item.id.length > MAX_ID) {
        throw invalid(`id: ${item.id.length} characters, over the limit of ${MAX_ID}; send a shorter one`);
      }
      const { request } = item;
      if (request === null) throw invalid('request: missing; every item needs one');
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
