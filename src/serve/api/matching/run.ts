import type { Grid } from '../../../image/geometry.js';
import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import { overLimit } from '../../config/serveLimits.js';
import type { ServeContext } from '../context.js';

/**
 * Checks the cost of a match by features before any other work.
 * @param channels length of the compared vectors
 * @returns the number of multiplications
 * @throws ServeError `too_large` over the limit.
 */
export function checkMatchCost({ limits }: ServeContext, a: Grid, b: Grid, channels: number): number {
  const products = a.rows * a.columns * b.rows * b.columns * channels;
  if (products <= limits.maxMatchProducts) return products;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.columns} with ${b.rows} x ${b.columns} cells of ${channels} channels takes ${products} products, ` +
      `${overLimit(limits, 'maxMatchProducts')}; ask for smaller sizes (resize)`,
  );
}

/** As `checkMatchCost`, for a match by location, which this thread computes. @throws ServeError `too_large` */
export function checkLocationCost({ limits }: ServeContext, a: Grid, b: Grid): void {
  const pairs = a.rows * a.columns * b.rows * b.columns;
  if (pairs <= limits.maxLocationPairs) return;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.columns} with ${b.rows} x ${b.columns} cells by location compares ${pairs} pairs, ` +
      `${overLimit(limits, 'maxLocationPairs')}; ask for smaller sizes (resize)`,
  );
}

/**
 * Runs a match as soon as the concurrency limit allows.
 * @param work runs in a worker, or on the main thread in slices of a few milliseconds
 * @throws ServeError `overloaded` if too many matches wait, or the reason of the call's signal if the call is aborted.
 */
export async function matchInTurn<T>({ admission }: ServeContext, call: Call, work: () => Promise<T>): Promise<T> {
  return admission.matching.run(call, () => timed(call, 'match', work));
}

/**
 * Runs two parts of a call concurrently. If one fails, the other is aborted, which releases its place in the queue.
 * @param start starts both with the call that it is given
 */
export async function runBoth<T>(call: Call, start: (sub: Call) => [Promise<T>, Promise<T>]): Promise<[T, T]> {
  const other = new AbortController();
  const sub: Call = { ...call, signal: AbortSignal.any([call.signal, other.signal]) };
  try {
    return await Promise.all(start(sub));
  } catch (error) {
    other.abort(error);
    throw error;
  }
}
