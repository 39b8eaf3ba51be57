import pLimit from 'p-limit';

export interface PipelineOptions {
  /** Maximum number of items that are computed concurrently. */
  readonly runs: number;
  /** Number of further items that are prepared in advance. Default 1. */
  readonly ahead?: number;
}

/**
 * Prepares items 0 to `count` - 1 while earlier ones are computed. Computations start, and results are yielded, in the order of
 * the items. At most `runs` + `ahead` items are held. If an item fails, its error is thrown in its turn. The generator always
 * waits for all started work before it ends.
 */
export async function* pipelined<Prepared, Result>(
  count: number,
  prepare: (item: number) => Promise<Prepared>,
  compute: (prepared: Prepared, item: number) => Promise<Result>,
  { runs, ahead = 1 }: PipelineOptions,
): AsyncGenerator<Result> {
  const limit = pLimit(runs);
  const queue: { readonly prepared: Promise<Prepared>; readonly result: Promise<Result> }[] = [];
  /** Resolves when the last started item and all earlier ones are prepared. */
  let last: Promise<unknown> = Promise.resolve();
  let ended = false;

  const start = (item: number): void => {
    const computeOne = async (input: Prepared): Promise<Result> => {
      if (ended) throw new Error(`item ${item} is no longer needed`);
      return compute(input, item);
    };
    const prepared = prepare(item);
    const inOrder = last.then(() => prepared);
    const result = inOrder.then((input) => limit(computeOne, input));
    // Each may fail before it is awaited; without a handler that would be an unhandled rejection.
    for (const promise of [prepared, result]) promise.catch(() => undefined);
    last = inOrder;
    queue.push({ prepared, result });
  };

  try {
    let started = 0;
    for (let item = 0; item < count; item++) {
      while (started < Math.min(count, item + runs + ahead)) start(started++);
      yield await queue[0]!.result;
      queue.shift();
    }
  } finally {
    ended = true;
    await Promise.allSettled(queue.flatMap(({ prepared, result }) => [prepared, result]));
  }
}
