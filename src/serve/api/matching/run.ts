import type { Grid } from '../../../image/geometry.js';
import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';

/**
 * Checks what a match by features will compute, before any other work is done for it.
 * @param channels numbers that are compared for each pair of cells
 * @returns products of two numbers
 * @throws ServeError `too_large` over the limit.
 */
export function checkMatchCost({ limits }: ServeContext, a: Grid, b: Grid, channels: number): number {
  const products = a.rows * a.columns * b.rows * b.columns * channels;
  if (products <= limits.maxMatchProducts) return products;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.columns} with ${b.rows} x ${b.columns} cells of ${channels} channels takes ${products} products, ` +
      `over the limit of ${limits.maxMatchProducts}; ask for smaller sizes (resize)`,
  );
}

/** As `checkMatchCost`, for a match by location, which this thread computes. @throws ServeError `too_large` */
export function checkLocationCost({ limits }: ServeContext, a: Grid, b: Grid): void {
  const pairs = a.rows * a.columns * b.rows * b.columns;
  if (pairs <= limits.maxLocationPairs) return;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.columns} with ${b.rows} x ${b.columns} cells by location compares ${pairs} pairs, over the limit ` +
      `of ${limits.maxLocationPairs}; ask for smaller sizes (resize)`,
  );
}

/**
 * Matches when it is this call's turn.
 * @param work computes in a worker, or on this thread in steps that leave the event loop to others every few milliseconds
 * @throws ServeError `overloaded` when too many matches wait, or the call's own reason when it is aborted.
 */
export async function matchInTurn<T>({ admission }: ServeContext, call: Call, work: () => Promise<T>): Promise<T> {
  return admission.matching.run(call, () => timed(call, 'match', work));
}

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
