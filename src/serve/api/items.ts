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

/** The items of batches and streams: each is answered by the unary method, and one that fails has a status of its own. */

/** The status of one item of a batch or a stream, as messages carry it. */
function itemStatus(status: Status): NonNullable<EmbedStreamResponse['status']> {
  return statusMessage(status);
}

/** The phases of one item in ms, as messages carry them. */
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
 * Checks how many requests a batch has.
 * @throws ServeError `invalid_argument` for none, or for more than the limit.
 */
export function checkBatch(requests: readonly unknown[], { batchRequests }: ServeLimits): void {
  const ways = { none: `send 1 to ${batchRequests}`, tooMany: 'send several requests, or a stream' };
  checkCount('requests', requests, batchRequests, ways);
}

type ItemResult<Response> = { readonly response: Response } | { readonly status: ReturnType<typeof itemStatus> };

/**
 * Answers every request of a batch side by side: their images meet in the queue. What fails has a status in its place.
 * @throws the call's own reason when it is aborted.
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
        // Only the call's own end ends the call.
        call.signal.throwIfAborted();
        const failure = toStatus(error);
        // No item ends by its deadline after its run: that is the call's own end.
        call.observeItem?.(failure.code, error);
        return { status: itemStatus(failure) };
      }
    }),
  );
  return results;
}

/** Longest id of an item, in characters: it is echoed, and goes into no log. */
const MAX_ID = 256;

/** Answers the items of a stream with what the unary method answers; every item finds its model anew. */
export function itemMethod<Request extends { readonly model: string }, Response>(
  models: ContextLender,
  answer: (context: ServeContext, request: Request, call: Call) => Promise<Response>,
) {
  type Item = { readonly id: string; readonly request: Request | null };
  return {
    async answer(item: Item, call: Call) {
      if (item.id.length > MAX_ID) {
        throw invalid(`id: ${item.id.length} characters; at most ${MAX_ID} are echoed`);
      }
      const { request } = item;
      if (request === null) throw invalid('request: missing; every item carries one');
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
