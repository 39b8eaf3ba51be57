import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { z } from 'zod';
import { writeFileAtomically } from '../files/atomicFile.js';
import { makeFolder } from '../files/output.js';

/** A cache of shard indexes on disk. Indexing a shard on a network disk may take seconds. */

const numbers = z.array(z.int().min(0).max(0xffffffff));
const schema = z.object({
  format: z.literal(2),
  path: z.string(),
  bytes: z.number(),
  modified: z.number(),
  labelled: z.boolean(),
  names: z.array(z.string()),
  blocks: numbers,
  sizes: numbers,
  labels: z.array(z.string()).optional(),
});

/** The images of one shard in archive order; all arrays have the same length. */
export type CachedShard = Pick<z.output<typeof schema>, 'names' | 'blocks' | 'sizes'> & {
  readonly labels?: readonly string[];
};

/** The version of a shard that an index is valid for. */
interface ShardVersion {
  readonly bytes: number;
  /** Modification time in milliseconds since the epoch. */
  readonly modified: number;
  readonly labelled: boolean;
}

/** `$XDG_CACHE_HOME/vicregl/shards`, or `~/.cache/vicregl/shards`. */
export function defaultShardCache(): string {
  return join(process.env['XDG_CACHE_HOME'] || join(homedir(), '.cache'), 'vicregl', 'shards');
}

function fileOf(cache: string, path: string, { labelled }: ShardVersion): string {
  const digest = createHash('sha256').update(resolve(path)).digest('hex').slice(0, 32);
  return join(cache, `${digest}${labelled ? '.labelled' : ''}.json`);
}

/** Returns the cached index of a shard; undefined if there is none, or if the shard has changed since. */
export async function readCachedShard(
  cache: string,
  path: string,
  version: ShardVersion,
): Promise<CachedShard | undefined> {
  try {
    const cached = schema.parse(JSON.parse(await readFile(fileOf(cache, path, version), 'utf8')));
    const { names, blocks, sizes, labels } = cached;
    const valid =
      cached.path === resolve(path) &&
      cached.bytes === version.bytes &&
      cached.modified === version.modified &&
      cached.labelled === version.labelled &&
      [blocks, sizes, ...(version.labelled ? [labels ?? []] : [])].every(({ length }) => length === names.length);
    return valid ? { names, blocks, sizes, ...(labels && { labels }) } : undefined;
  } catch {
    return undefined; // Missing or invalid: the shard is indexed again.
  }
}

/** Caches an index. A folder that cannot be written is not an error: the next run indexes the shard again. */
export async function writeCachedShard(
  cache: string,
  path: string,
  version: ShardVersion,
  shard: CachedShard,
): Promise<void> {
  try {
    await makeFolder(cache);
    await writeFileAtomically(
      fileOf(cache, path, version),
      JSON.stringify({ format: 2, path: resolve(path), ...version, ...shard }),
    );
  } catch {
    // The cache is optional, see above.
  }
}
