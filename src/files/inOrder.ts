/**
 * Applies an action to each item, one after the other. Use it instead of Promise.all where several actions may fail: then it is
 * always the first item of the list whose error is reported, however long each action takes.
 */
export async function inOrder<T, R>(items: readonly T[], action: (item: T, index: number) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const [index, item] of items.entries()) results.push(await action(item, index));
  return results;
}
