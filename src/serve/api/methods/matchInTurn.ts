import { type Call, timed } from '../../call/call.js';
import { ServeError } from '../../call/serveError.js';
import type { ServeContext } from '../context.js';
import type { CellGrid } from '../wire/grid.js';

/**
 * Checks what a match by features will compute, before any other work is done for it.
 * @param channels numbers that are compared for each pair of cells
 * @returns products of two numbers
 * @throws ServeError `too_large` over the limit.
 */
export function checkMatchCost({ limits }: ServeContext, a: CellGrid, b: CellGrid, channels: number): number {
  const products = a.rows * a.cols * b.rows * b.cols * channels;
  if (products <= limits.maxMatchProducts) return products;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.cols} with ${b.rows} x ${b.cols} cells of ${channels} channels takes ${products} products, ` +
      `over the limit of ${limits.maxMatchProducts}; ask for smaller sizes (resize)`,
  );
}

/** As `checkMatchCost`, for a match by location, which this thread computes. @throws ServeError `too_large` */
export function checkLocationCost({ limits }: ServeContext, a: CellGrid, b: CellGrid): void {
  const pairs = a.rows * a.cols * b.rows * b.cols;
  if (pairs <= limits.maxLocationPairs) return;
  throw new ServeError(
    'too_large',
    `matching ${a.rows} x ${a.cols} with ${b.rows} x ${b.cols} cells by location compares ${pairs} pairs, over the limit ` +
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
