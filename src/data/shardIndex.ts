import { stat } from 'node:fs/promises';
import { basename, dirname, relative, resolve, sep } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { expand } from 'brace-expansion';
import { fileProblem } from '../files/fileProblem.js';
import { DataError } from './dataError.js';
import { imageExtensions, isHidden } from './imageNames.js';
import { packNames } from './nameTable.js';
import { type CachedShard, readCachedShard, writeCachedShard } from './shardCache.js';
import { type SourceIndex, sharedUint32 } from './sourceIndex.js';
import { blockOf, readArchive } from './tarIndex.js';
import { type ByteSource, type TarMember, tarMembers } from './tarWalk.js';

/** The images of a set of shards, and their labels if they were requested. */
export interface IndexedShards {
  readonly index: SourceIndex;
  readonly labels: readonly string[] | undefined;
}

export interface ShardIndexOptions {
  /** Whether every sample must have a label (.cls, or .json with "label"). */
  readonly labelled: boolean;
  /** An alternative to adding labels, appended to error messages. */
  readonly orElse?: string;
  /** Folder of the index cache; undefined disables the cache. */
  readonly cache: string | undefined;
  /** Minimum indexing time in milliseconds for an index to be cached; faster shards are indexed again each time. */
  readonly keepFrom: number;
}

/** Maximum size of a .cls or .json member, in bytes. */
const MAX_LABEL_BYTES = 2 ** 20;

/** Shards of one pattern, and characters of their paths together: the expansion is held in memory. */
const MAX_SHARDS = 1_000_000;
const MAX_PATH_CHARACTERS = 2 ** 28;

/**
 * Expands a pattern such as `train-{000000..000146}.tar` to paths of shards.
 * @throws DataError `malformed` if there are more than a million. The library would return the first of them without a word.
 */
export function shardPaths(pattern: string): string[] {
  const paths = expand(pattern, { max: MAX_SHARDS + 1, maxLength: MAX_PATH_CHARACTERS });
  const characters = paths.reduce((sum, { length }) => sum + length, 0);
  // No path is longer than its pattern, so one more would have fitted.
  if (paths.length <= MAX_SHARDS && characters + pattern.length <= MAX_PATH_CHARACTERS) return paths;
  throw new DataError(
    'malformed',
    `${pattern}: stands for more than ${MAX_SHARDS} shards, or for paths of more than ${MAX_PATH_CHARACTERS} characters together; give several patterns`,
  );
}

/**
 * Indexes WebDataset shards, which are tar archives. Consecutive members form one sample if their paths are equal up to the first
 * dot of the last part (`a/0001.jpg`, `a/0001.cls`). The image of a sample is the member with an image extension; if there are
 * several, the first in the order jpg, jpeg, png, ... Images have the order of the shards, and of the members within a shard.
 * Only headers (and labels) are read.
 * @throws DataError `not_found`, `unsupported`, or `no_labels` and `malformed` naming the shard and the sample.
 */
export async function indexShards(paths: readonly string[], options: ShardIndexOptions): Promise<IndexedShards> {
  const shards: CachedShard[] = [];
  for (const path of paths) {
    shards.push(await indexShard(path, options));
    await nextTurn(); // Indexing blocks the thread; signals are handled between shards.
  }
  const count = shards.reduce((sum, { names }) => sum + names.length, 0);
  const archives = new Uint32Array(new SharedArrayBuffer(count * 4));
  let at = 0;
  shards.forEach(({ names }, shard) => {
    archives.fill(shard, at, at + names.length);
    at += names.length;
  });
  return {
    index: {
      count,
      names: packNames(shards.flatMap(({ names }) => names)),
      prefixes: prefixesOf(paths),
      storage: {
        kind: 'tar',
        paths: paths.map((path) => resolve(path)),
        archives,
        places: {
          blocks: sharedUint32(shards.flatMap(({ blocks }) => blocks)),
          sizes: sharedUint32(shards.flatMap(({ sizes }) => sizes)),
        },
      },
    },
    labels: options.labelled ? shards.flatMap(({ labels }) => labels!) : undefined,
  };
}

/** Name prefixes such as `train-000.tar/`: the path of each shard, relative to the common folder of all shards. */
function prefixesOf(paths: readonly string[]): string[] {
  const folders = paths.map((path) => dirname(resolve(path)).split(sep));
  const shared = folders.reduce((common, parts) => {
    const differs = common.findIndex((part, i) => parts[i] !== part);
    return differs < 0 ? common : common.slice(0, differs);
  });
  return paths.map(
    (path) =>
      `${relative(shared.join(sep) || sep, resolve(path))
        .split(sep)
        .join('/')}/`,
  );
}

async function indexShard(
  path: string,
  { labelled, orElse, cache, keepFrom }: ShardIndexOptions,
): Promise<CachedShard> {
  const status = await stat(path).catch((cause: unknown) => {
    throw new DataError('not_found', `the shard ${path} cannot be opened: ${fileProblem(cause)}; check the pattern`, {
      cause,
    });
  });
  if (!status.isFile()) throw new DataError('unsupported', `the shard ${path} is not a file; give .tar archives`);
  const version = { bytes: status.size, modified: status.mtimeMs, labelled };
  const cached = cache === undefined ? undefined : await readCachedShard(cache, path, version);
  if (cached !== undefined) return cached;
  const began = performance.now();
  const shard = readArchive(path, (archive) => walkShard(archive, path, labelled, orElse));
  if (cache !== undefined && performance.now() - began >= keepFrom) {
    await writeCachedShard(cache, path, version, shard);
  }
  return shard;
}

/** A sample whose members are being read. */
interface OpenSample {
  readonly key: string;
  readonly extensions: Set<string>;
  image?: TarMember;
  /** Index of the image's extension in imageExtensions; lower has priority. */
  rank: number;
  label?: string;
}

function walkShard(archive: ByteSource, path: string, labelled: boolean, orElse = ''): CachedShard {
  const [names, blocks, sizes, labels]: [string[], number[], number[], string[]] = [[], [], [], []];
  const keys = new Set<string>();
  let sample: OpenSample | undefined;

  const finish = (): void => {
    if (sample?.image === undefined) return;
    const { image, label, key } = sample;
    if (labelled) {
      if (label === undefined) {
        throw new DataError(
          'no_labels',
          `${path}: sample "${key}" has no label; add ${basename(key)}.cls (or a .json with "label") next to its image${orElse}`,
        );
      }
      labels.push(label);
    }
    if (keys.has(key)) {
      throw new DataError(
        'malformed',
        `${path}: sample "${key}" has two images, with other samples between; keys of samples are unique, so give every image its own`,
      );
    }
    keys.add(key);
    names.push(image.name);
    blocks.push(blockOf(image, path));
    sizes.push(image.size);
  };

  for (const member of tarMembers(archive, path)) {
    const start = member.name.lastIndexOf('/') + 1;
    const dot = member.name.indexOf('.', start);
    if (dot < 0 || isHidden(member.name)) continue;
    const key = member.name.slice(0, dot);
    const extension = member.name.slice(dot + 1).toLowerCase();
    if (sample?.key !== key) {
      finish();
      sample = { key, rank: imageExtensions.length, extensions: new Set() };
    }
    if (sample.extensions.has(extension)) {
      throw new DataError(
        'malformed',
        `${path}: sample "${key}" has two members with the extension .${extension}; members with the same key form one sample, so every image needs its own key`,
      );
    }
    sample.extensions.add(extension);
    const rank = (imageExtensions as readonly string[]).indexOf(extension);
    if (rank >= 0 && rank < sample.rank) {
      sample.image = member;
      sample.rank = rank;
    } else if (labelled && (extension === 'cls' || (extension === 'json' && sample.label === undefined))) {
      const label = labelOf(archive, member, extension, path);
      if (label !== undefined) sample.label = label;
    }
  }
  finish();
  return { names, blocks, sizes, ...(labelled && { labels }) };
}

function labelOf(archive: ByteSource, member: TarMember, extension: string, path: string) {
  const { name, offset, size, absent } = member;
  if (absent !== undefined) throw new DataError('malformed', `${path}: ${name} is ${absent}`);
  if (size > MAX_LABEL_BYTES) {
    throw new DataError(
      'malformed',
      `${path}: ${name} has ${size} bytes; the maximum for a label is ${MAX_LABEL_BYTES}`,
    );
  }
  const text = archive.read(offset, size).toString('utf8').trim();
  if (extension === 'cls') {
    if (text === '') throw new DataError('malformed', `${path}: ${name} is empty; write the class into it`);
    return text;
  }
  try {
    const value = JSON.parse(text) as { readonly label?: unknown } | null;
    const label = value?.label;
    if (label === undefined || label === null) return undefined;
    if ((typeof label === 'string' && label.trim() !== '') || Number.isSafeInteger(label)) return String(label).trim();
    throw new SyntaxError(`"label" is ${JSON.stringify(label)}; write text or a whole number`);
  } catch (cause) {
    throw new DataError('malformed', `${path}: ${name}: ${(cause as Error).message}`, { cause });
  }
}
