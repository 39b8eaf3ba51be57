import type { Call } from '../../call/call.js';

/**
 * Runs two pieces of one call side by side; when one fails, the other is aborted and its place in the queue given up.
 * @param start begins both with a call of their own
 */
export async function bothOf<T>(call: Call, start: (sub: Call) => [Promise<T>, Promise<T>]): Promise<[T, T]> {
  const other = new AbortController();
  const sub: Call = { ...call, signal: AbortSignal.any([call.signal, other.signal]) };
  try {
    return await Promise.all(start(sub));
  } catch (error) {
    other.abort(error);
    throw error;
  }
}
