import { status } from '../../proto/status.js';
import type { Call } from '../call/call.js';
import { StatusError, toStatus } from '../call/errors.js';

/** Works on the images of one request, which is answered or fails as a whole. */

/**
 * Works on the elements of a request concurrently, so that their images can share runs. If one fails, those behind it are aborted
 * and those before it end, so that the error is that of the first element that fails, whatever the timing.
 * @param work its call is aborted when its result is no longer needed
 * @throws the error of the first element that failed; the reason of the call's signal if the call is aborted.
 */
export async function answerElements<T>(
  count: number,
  call: Call,
  work: (index: number, call: Call) => Promise<T>,
): Promise<T[]> {
  call.signal.throwIfAborted();
  const controllers = Array.from({ length: count }, () => new AbortController());
  const abortAll = (): void => {
    for (const controller of controllers) controller.abort(call.signal.reason);
  };
  call.signal.addEventListener('abort', abortAll, { once: true });
  const results = await Promise.allSettled(
    controllers.map(async ({ signal }, i) => {
      try {
        return await work(i, { ...call, signal });
      } catch (error) {
        for (const later of controllers.slice(i + 1)) later.abort(error);
        throw error;
      }
    }),
  );
  call.signal.removeEventListener('abort', abortAll);
  call.signal.throwIfAborted();
  return results.map((result) => {
    if (result.status === 'rejected') throw result.reason;
    return result.value;
  });
}

/** Statuses that are about one element. Others, such as a full queue, would meet every element. */
const OF_ONE: ReadonlySet<number> = new Set([status.INVALID_ARGUMENT, status.INTERNAL]);

/** The error of an element with its place, such as `image[3]`, in front of its message. */
export function atPlace(place: string, error: unknown): unknown {
  const failure = toStatus(error);
  if (!OF_ONE.has(failure.code) || failure.details.startsWith(`${place}:`)) return error;
  return new StatusError({ ...failure, details: `${place}: ${failure.details}` }, { cause: error });
}
