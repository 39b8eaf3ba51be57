/**
 * Images that always stay together. Batches of a size that divides it never cross the boundary of such a group, so that an image is
 * computed in the same batch, and gives the same bits, into however many shards the images are divided.
 */
export const GROUP_IMAGES = 8;

/** Images [first, end) of the source that make one shard of the output. */
export interface ShardRange {
  readonly shard: number;
  readonly first: number;
  readonly end: number;
}

/**
 * The number of output shards: no more than `shardImages` images in each (8, the images of a group, where it is less), none empty,
 * and as many for each process, unless there are too few groups for that.
 * @param processes number of processes that share the work
 */
export function shardCount(images: number, processes: number, shardImages: number): number {
  const groups = Math.ceil(images / GROUP_IMAGES);
  const ofShard = Math.max(1, Math.floor(shardImages / GROUP_IMAGES));
  return Math.max(1, Math.min(groups, processes * Math.ceil(groups / (processes * ofShard))));
}

/** Range of a shard: groups of images are divided evenly. In folders of earlier versions a shard may be empty. */
export function shardRange(images: number, shards: number, shard: number): ShardRange {
  const groups = Math.ceil(images / GROUP_IMAGES);
  const at = (bound: number) => Math.min(images, Math.floor((bound * groups) / shards) * GROUP_IMAGES);
  return { shard, first: at(shard), end: at(shard + 1) };
}

/** The shards of one process of several: consecutive ones, evenly divided. Another number of processes may continue the work. */
export function sharesOf(
  shards: number,
  { index, count }: { readonly index: number; readonly count: number },
): number[] {
  const [first, end] = [index, index + 1].map((bound) => Math.floor((bound * shards) / count)) as [number, number];
  return Array.from({ length: end - first }, (_, i) => first + i);
}

/** Number of a shard in the names of files, with leading zeros as clip-retrieval writes it: as many digits as the count has. */
export function shardName(shard: number, shards: number): string {
  return String(shard).padStart(String(shards).length, '0');
}

/** A batch of one shard. */
interface Batch {
  readonly range: ShardRange;
  /** Images of the source. */
  readonly members: readonly number[];
}

/** The batches of several shards, one after the other. A batch belongs to one shard, and a batch is found without a list of all. */
export function batchesOf(
  ranges: readonly ShardRange[],
  batch: number,
): { readonly batches: number; batchAt(item: number): Batch } {
  /** Batches before each range. */
  const before = [0];
  for (const { first, end } of ranges) before.push(before.at(-1)! + Math.ceil((end - first) / batch));
  return {
    batches: before.at(-1)!,
    batchAt(item) {
      let [low, high] = [0, ranges.length];
      while (high - low > 1) {
        const middle = (low + high) >> 1;
        if (before[middle]! <= item) low = middle;
        else high = middle;
      }
      const range = ranges[low]!;
      const start = range.first + (item - before[low]!) * batch;
      return { range, members: Array.from({ length: Math.min(batch, range.end - start) }, (_, i) => start + i) };
    },
  };
}
