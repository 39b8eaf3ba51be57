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

/** The images of a set of shards, and their labels where they were asked for. */
export interface IndexedShards {
  readonly index: SourceIndex;
  readonly labels: readonly string[] | undefined;
}

/** Where the indexes of shards are kept between runs. */
export interface ShardIndexOptions {
  /** Whether every sample must have a label (.cls, or .json with "label"). */
  readonly labelled: boolean;
  /** What else than giving labels helps, at the end of a message. */
  readonly orElse?: string;
  /** Folder of kept indexes; nothing is kept when undefined. */
  readonly cache: string | undefined;
  /** Shards whose walk took at least this many milliseconds are kept: others are walked as fast as read. */
  readonly keepFrom: number;
}

/** Longest .cls or .json of a sample, in bytes. */
const MOST_LABEL_BYTES = 2 ** 20;

/** The shards that a pattern such as `train-{000000..000146}.tar` stands for. */
export function shardPaths(pattern: string): string[] {
  return expand(pattern);
}

/**
 * Indexes WebDataset shards: tar archives whose members belong to one sample where their paths agree up to the first dot
 * of the last part (`a/0001.jpg`, `a/0001.cls`), and stand one after another. The image of a sample is the member whose
 * extension is one of an image's, the first of jpg, jpeg, png, ... where there are several. Images stand in the order of
 * the shards, and of the archive in each. Only headers (and labels) are read.
 * @throws DataError `not_found`, `unsupported`, or `no_labels` naming shard and sample.
 */
export async function indexShards(paths: readonly string[], options: ShardIndexOptions): Promise<IndexedShards> {
  const shards: CachedShard[] = [];
  for (const path of paths) {
    shards.push(await indexShard(path, options));
    await nextTurn(); // Walks block: signals get their turn between them.
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

/** `train-000.tar/`: the shard's path from the folder that all shards share. */
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
  const kept = cache === undefined ? undefined : await readCachedShard(cache, path, version);
  if (kept !== undefined) return kept;
  const began = performance.now();
  const shard = readArchive(path, (archive) => walkShard(archive, path, labelled, orElse));
  if (cache !== undefined && performance.now() - began >= keepFrom) {
    await writeCachedShard(cache, path, version, shard);
  }
  return shard;
}

/** A sample whose members are being met. */
interface OpenSample {
  readonly key: string;
  readonly extensions: Set<string>;
  image?: TarMember;
  /** Place of the image's extension among imageExtensions. */
  rank: number;
  label?: string;
}

function walkShard(archive: ByteSource, path: string, labelled: boolean, orElse = ''): CachedShard {
  const [names, blocks, sizes, labels]: [string[], number[], number[], string[]] = [[], [], [], []];
  let sample: OpenSample | undefined;

  const finish = (): void => {
    if (sample?.image === undefined) return;
    const { image, label, key } = sample;
    if (labelled) {
      if (label === undefined) {
        throw new DataError(
          'no_labels',
          `${path}: sample "${key}" has no label; put ${basename(key)}.cls (or a .json with "label") right beside its image${orElse}`,
        );
      }
      labels.push(label);
    }
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
        `${path}: sample "${key}" has two members .${extension}; members with one key are one sample, so every image needs a key of its own`,
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
  if (size > MOST_LABEL_BYTES) {
    throw new DataError('malformed', `${path}: ${name} has ${size} bytes; a label has at most ${MOST_LABEL_BYTES}`);
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
