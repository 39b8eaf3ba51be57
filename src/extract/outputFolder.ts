import { link, open, readdir, readFile, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { isFileError } from '../files/fileProblem.js';
import { makeFolder, writeOutput } from '../files/output.js';
import { syncPath } from '../files/syncedFile.js';
import { ExtractError } from './extractError.js';
import { shardName } from './shardPlan.js';
import { removeLeftovers, temporaryOf, writeStaged } from './stagedFile.js';

/**
 * The output folder:
 * - `manifest.json`: settings and counts
 * - `failed.jsonl`: the images without features, with the reason
 * - `shards/shard_N.json`: the record of a finished shard. It is written last; a shard without it is computed again.
 * - `shards/shard_N.failed.jsonl`: the failed images of the shard
 * - `shards/shard_N.lock`: the process that writes it
 * - the files of the format
 */

/** All settings on which the content of the files depends; the processes of one folder have equal ones. */
export const settingsSchema = z.object({
  model: z.object({ name: z.string(), version: z.string(), sha256: z.string().optional() }),
  runsOn: z.string(),
  source: z.string(),
  format: z.string(),
  dtype: z.string(),
  l2: z.boolean(),
  outputs: z.array(
    z.object({
      name: z.string(),
      kind: z.string(),
      space: z.string(),
      channels: z.number(),
      stride: z.number().optional(),
    }),
  ),
  resize: z.string(),
  upsample: z.string().optional(),
  tiles: z.string().optional(),
  pool: z.string().optional(),
  batchSize: z.number(),
});

export type Settings = z.output<typeof settingsSchema>;

const fileSchema = z.object({ path: z.string(), bytes: z.number(), sha256: z.string() });

const recordSchema = z.object({
  shard: z.int(),
  /** Images [first, end) of the source. */
  first: z.int(),
  end: z.int(),
  rows: z.record(z.string(), z.int()),
  failed: z.int(),
  files: z.array(fileSchema),
});

/** A finished shard. */
export type ShardRecord = z.output<typeof recordSchema>;

const manifestSchema = z.object({
  kind: z.literal('vicregl extract'),
  version: z.literal(1),
  settings: settingsSchema,
  images: z.int(),
  shards: z.int(),
  finished: z.object({
    shards: z.int(),
    images: z.int(),
    failed: z.int(),
    rows: z.record(z.string(), z.int()),
  }),
});

export type ExtractManifest = z.output<typeof manifestSchema>;

const MANIFEST = 'manifest.json';
const FAILED = 'failed.jsonl';

const recordPath = (shard: number, shards: number): string => `shards/shard_${shardName(shard, shards)}.json`;
const failedPath = (shard: number, shards: number): string => `shards/shard_${shardName(shard, shards)}.failed.jsonl`;
export const lockPath = (out: string, shard: number, shards: number): string =>
  join(out, 'shards', `shard_${shardName(shard, shards)}.lock`);

async function textOf(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isFileError(error) && (error.code === 'ENOENT' || error.code === 'ENOTDIR')) return undefined;
    throw error;
  }
}

/** The manifest of a folder; undefined where there is none. @throws ExtractError `bad_option` for a damaged one */
async function readManifest(out: string): Promise<ExtractManifest | undefined> {
  const path = join(out, MANIFEST);
  const text = await textOf(path);
  if (text === undefined) return undefined;
  try {
    return manifestSchema.parse(JSON.parse(text));
  } catch (cause) {
    throw new ExtractError('bad_option', `--out: ${path} is not a manifest of vicregl extract; choose another folder`, {
      cause,
    });
  }
}

/** The record of a shard, if the shard is finished and its files have their sizes; undefined otherwise. */
export async function readRecord(out: string, shard: number, shards: number): Promise<ShardRecord | undefined> {
  const text = await textOf(join(out, recordPath(shard, shards)));
  if (text === undefined) return undefined;
  let record: ShardRecord;
  try {
    record = recordSchema.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
  for (const { path, bytes } of record.files) {
    const found = await stat(join(out, path)).catch(() => undefined);
    if (found?.size !== bytes) return undefined;
  }
  return record;
}

/** Writes the record of a shard whose files are in their places. The caller holds the lock of the shard. @throws OutputError */
export function writeRecord(out: string, record: ShardRecord, shards: number): Promise<void> {
  return writeStaged(out, recordPath(record.shard, shards), `${JSON.stringify(record)}\n`);
}

/** Writes or removes the list of a shard's failed images. The caller holds the lock of the shard. @throws OutputError */
export async function writeFailed(out: string, shard: number, shards: number, lines: readonly string[]): Promise<void> {
  const path = failedPath(shard, shards);
  if (lines.length > 0) return writeStaged(out, path, lines.map((line) => `${line}\n`).join(''));
  // An image that failed in an interrupted attempt can be readable now.
  await rm(join(out, path), { force: true });
  await removeLeftovers(join(out, path), Number.NEGATIVE_INFINITY);
}

const shown = (value: unknown): string =>
  value === undefined ? 'absent' : typeof value === 'string' ? value : JSON.stringify(value);

/** The settings that differ, for people; flat keys such as model.version. */
function differences(before: Settings, now: Settings): string[] {
  const flat = (settings: Settings): Map<string, string> =>
    new Map(
      Object.entries({
        ...settings,
        ...Object.fromEntries(Object.entries(settings.model).map(([key, value]) => [`model.${key}`, value])),
      })
        .filter(([key]) => key !== 'model')
        .map(([key, value]) => [key, shown(value)]),
    );
  const [a, b] = [flat(before), flat(now)];
  return [...new Set([...a.keys(), ...b.keys()])]
    .filter((key) => a.get(key) !== b.get(key))
    .map((key) => `${key} was ${a.get(key) ?? 'absent'} and is ${b.get(key) ?? 'absent'}`);
}

/** Errors of file systems without hard links, such as exFAT and object storage. */
const WITHOUT_LINKS: ReadonlySet<string | undefined> = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/** Creates a file that must not exist, whole or not at all. @returns whether it was created */
async function createWhole(path: string, content: string): Promise<boolean> {
  const temporary = temporaryOf(path);
  const file = await open(temporary, 'wx');
  try {
    await file.writeFile(content);
    await file.sync();
  } finally {
    await file.close();
  }
  try {
    await link(temporary, path);
    return true;
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === 'EEXIST') return false;
    if (!WITHOUT_LINKS.has(code)) throw error;
    // Two processes that begin at the same moment may both write it: with the same content, if their settings are equal.
    await rename(temporary, path);
    return true;
  } finally {
    await rm(temporary, { force: true });
  }
}

/**
 * Begins the folder, or joins one that was begun with the same settings: by other processes, or by an earlier attempt.
 * @param wantedShards number of shards of a new folder; one that exists keeps its own
 * @returns its manifest
 * @throws ExtractError `differs` naming the settings that differ, `bad_option` for a folder with other files; OutputError
 */
export async function beginFolder(
  out: string,
  { settings, images, wantedShards }: { settings: Settings; images: number; wantedShards: number },
): Promise<ExtractManifest> {
  const manifest: ExtractManifest = {
    kind: 'vicregl extract',
    version: 1,
    settings,
    images,
    shards: wantedShards,
    finished: { shards: 0, images: 0, failed: 0, rows: {} },
  };
  let existing = await readManifest(out);
  if (existing === undefined) {
    await writeOutput('--out', out, () => makeFolder(out));
    const others = (await readdir(out)).filter((name) => !name.startsWith('.') && name !== MANIFEST);
    // Another process may have begun the folder in the meantime.
    if (others.length > 0 && (await readManifest(out)) === undefined) {
      const found = others.slice(0, 3).join(', ');
      throw new ExtractError('bad_option', `--out: ${out} holds other files (${found}); choose a new or empty folder`);
    }
    await writeOutput('--out', out, async () => {
      await createWhole(join(out, MANIFEST), `${JSON.stringify(manifest, null, 2)}\n`);
      await syncPath(out);
    });
    // Of this process, or of another one that was faster.
    existing = (await readManifest(out))!;
  }
  const differing = differences(existing.settings, settings);
  if (existing.images !== images) differing.push(`images was ${existing.images} and is ${images}`);
  if (differing.length > 0) {
    throw new ExtractError(
      'differs',
      `--out: ${out} was begun with other settings: ${differing.join('; ')}. Use the same settings, or choose another folder`,
    );
  }
  return existing;
}

/** Finished shards, in their order. */
async function finishedShards(out: string, shards: number): Promise<ShardRecord[]> {
  const records: ShardRecord[] = [];
  for (let shard = 0; shard < shards; shard++) {
    const record = await readRecord(out, shard, shards);
    if (record !== undefined) records.push(record);
  }
  return records;
}

/**
 * Writes the counts of all finished shards to the manifest, and their failed images to failed.jsonl. Several processes may do it
 * at the same time: each looks again after it has written, so that the last one sees all.
 * @throws OutputError
 */
export async function summarise(out: string, manifest: ExtractManifest): Promise<ExtractManifest> {
  const { shards } = manifest;
  for (;;) {
    const records = await finishedShards(out, shards);
    const rows: Record<string, number> = {};
    for (const record of records) {
      for (const [table, count] of Object.entries(record.rows)) rows[table] = (rows[table] ?? 0) + count;
    }
    const sum = (of: (record: ShardRecord) => number) => records.reduce((total, record) => total + of(record), 0);
    const summary: ExtractManifest = {
      ...manifest,
      finished: {
        shards: records.length,
        images: sum(({ first, end }) => end - first),
        failed: sum(({ failed }) => failed),
        rows,
      },
    };
    const lists = await Promise.all(
      records
        .filter(({ failed }) => failed > 0)
        .map(({ shard }) => readFile(join(out, failedPath(shard, shards)), 'utf8').catch(() => '')),
    );
    await writeStaged(out, FAILED, lists.join(''), true);
    await writeStaged(out, MANIFEST, `${JSON.stringify(summary, null, 2)}\n`, true);
    if ((await finishedShards(out, shards)).length === records.length) return summary;
  }
}
