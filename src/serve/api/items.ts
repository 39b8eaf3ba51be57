import { status } from '../../proto/status.js';
import type { Call } from '../call/call.js';
import { toStatus } from '../call/errors.js';
import { ServeError } from '../call/serveError.js';
import type { ServeLimits } from '../config/serveLimits.js';
import { itemStatus } from './methods/itemStatus.js';

type ItemResult<Response> = { readonly response: Response } | { readonly status: ReturnType<typeof itemStatus> };

/**
 * Checks how many requests one batch carries.
 * @throws ServeError `invalid_argument` for none, or for more than the limit.
 */
export function checkBatch(requests: readonly unknown[], { batchRequests }: ServeLimits, field: string): void {
  if (requests.length >= 1 && requests.length <= batchRequests) return;
  throw new ServeError(
    'invalid_argument',
    requests.length === 0
      ? `${field}: empty; send 1 to ${batchRequests}`
      : `${field}: ${requests.length} are more than the ${batchRequests} of one batch; send several, or a stream`,
  );
}

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
