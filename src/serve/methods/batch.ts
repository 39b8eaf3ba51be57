import type { Call } from '../call.js';
import type { ServeLimits } from '../limits.js';
import { ServeError } from '../serveError.js';
import { failedItem } from './itemStatus.js';

type ItemResult<Response> = { readonly response: Response } | ReturnType<typeof failedItem>;

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
        return { response: await answer(request, i) };
      } catch (error) {
        call.signal.throwIfAborted();
        return failedItem(error);
      }
    }),
  );
  return results;
}
