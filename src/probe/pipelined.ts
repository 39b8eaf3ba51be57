import pLimit from 'p-limit';

export interface PipelineOptions {
  /** Items that are computed at once. */
  readonly runs: number;
  /** Items that are prepared beyond those. Default 1. */
  readonly ahead?: number;
}

/**
 * Prepares items 0 to `count` - 1 while earlier ones are computed. Computing begins, and results are given, in the order of the
 * items. No more than `runs` + `ahead` items are held. Ends only when nothing is at work any more, also where something fails.
 */
export async function* pipelined<Prepared, Result>(
  count: number,
  prepare: (item: number) => Promise<Prepared>,
  compute: (prepared: Prepared, item: number) => Promise<Result>,
  { runs, ahead = 1 }: PipelineOptions,
): AsyncGenerator<Result> {
  const atOnce = pLimit(runs);
  const queue: { readonly prepared: Promise<Prepared>; readonly result: Promise<Result> }[] = [];
  /** The last one that was started, when it and all before it are prepared. */
  let last: Promise<unknown> = Promise.resolve();
  let ended = false;

  const start = (item: number): void => {
    const computeOne = async (input: Prepared): Promise<Result> => {
      if (ended) throw new Error(`item ${item} is no longer wanted`);
      return compute(input, item);
    };
    const prepared = prepare(item);
    const inOrder = last.then(() => prepared);
    const result = inOrder.then((input) => atOnce(computeOne, input));
    // Each may fail before its turn to be awaited.
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
