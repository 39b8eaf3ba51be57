import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { sourceFingerprint } from '../data/sourceFingerprint.js';
import type { ImageSource } from '../data/sources.js';
import { makeFolder, writeOutput } from '../files/output.js';
import { pipelined } from '../probe/pipelined.js';
import type { WorkProgress } from '../progress/work.js';
import type { Boxes } from './boxes.js';
import { ExtractError } from './extractError.js';
import type { Extractor, ImageFeatures, Outcome, Wanted } from './features.js';
import type { FormatName } from './formats/formats.js';
import { type Row, type ShardFormat, type ShardWriter, type TableSpec, tablesOf } from './formats/shardWriter.js';
import type { MachineShare } from './machineShare.js';
import {
  beginFolder,
  type ExtractManifest,
  lockPath,
  readRecord,
  type Settings,
  summarise,
  writeFailed,
  writeRecord,
} from './outputFolder.js';
import { lockShard, type ShardLock } from './shardLock.js';
import { batchesOf, type ShardRange, shardCount, shardName, shardRange, sharesOf } from './shardPlan.js';
import type { WrittenFile } from './stagedFile.js';

/** Rows of a shard with vectors. */
const SHARD_ROWS = 1_000_000;
/** Bytes of a shard with maps. */
const SHARD_BYTES = 1e9;

/** Images that are read and decoded before a worker is free for them, at least. */
const DECODED_AHEAD = 16;

const ELEMENT_BYTES = { float32: 4, float16: 2, int8: 1 } as const;

export interface ExtractOptions {
  readonly source: ImageSource;
  readonly extractor: Extractor;
  readonly wanted: Wanted;
  /** The output folder. */
  readonly out: string;
  readonly formatName: FormatName;
  readonly format: ShardFormat;
  /** Whether all network inputs have one size. */
  readonly oneSize: boolean;
  /** The resize policy as text, for the manifest. */
  readonly resize: string;
  /** Pixels of a network input, for the size of shards with maps. */
  readonly inputPixels: number;
  readonly boxes?: Boxes;
  readonly share: MachineShare;
  /** Maximum number of images in a shard. Default: about a million rows, or 1 GB of maps. */
  readonly shardImages?: number;
  readonly batch: number;
  readonly resume: boolean;
  /** Images of this process that may fail. */
  readonly maxFailures: number;
  readonly signal: AbortSignal;
  readonly progress: WorkProgress;
  /** Receives a line of text. */
  readonly note: (text: string) => void;
}

export interface Extracted {
  /** Of this process. */
  readonly images: number;
  readonly failed: number;
  readonly shards: { readonly done: number; readonly before: number };
  /** Of the whole folder, as far as it is finished. */
  readonly manifest: ExtractManifest;
}

function defaultShardImages({ source, extractor, wanted, boxes, inputPixels }: ExtractOptions): number {
  const maps = extractor.outputs.filter(({ kind }) => kind === 'map');
  if (maps.length > 0) {
    const upsample = wanted.features?.upsample ?? 1;
    const cells = (stride: number) =>
      typeof upsample === 'number' ? (inputPixels / stride ** 2) * upsample ** 2 : upsample.rows * upsample.columns;
    const numbers = maps.reduce((sum, { channels, stride }) => sum + cells(stride!) * channels, 0);
    return Math.max(1, Math.floor(SHARD_BYTES / (numbers * ELEMENT_BYTES[wanted.dtype])));
  }
  const regionsPerImage = (boxes?.count ?? 0) / source.count;
  return Math.max(1, Math.floor(SHARD_ROWS / Math.max(1, regionsPerImage)));
}

function settingsOf(options: ExtractOptions): Settings {
  const { source, extractor, wanted, formatName, resize, boxes, batch } = options;
  const { model, runsOn, outputs } = extractor;
  return {
    model: { ...model },
    runsOn,
    source: sourceFingerprint(source),
    format: formatName,
    dtype: wanted.dtype,
    l2: wanted.l2,
    outputs: outputs.map(({ name, kind, channels, stride }) => ({
      name,
      kind,
      space: name === 'embedding' ? wanted.embedding!.space : name === 'features' ? wanted.features!.space : 'backbone',
      channels,
      ...(stride !== undefined && { stride }),
    })),
    resize,
    ...(wanted.features?.upsample !== undefined && { upsample: JSON.stringify(wanted.features.upsample) }),
    ...(wanted.features?.tiles && { tiles: JSON.stringify(wanted.features.tiles) }),
    ...(boxes && { pool: `sha256 ${boxes.sha256}` }),
    batchSize: batch,
  };
}

/** The rows of an image. */
function rowsOf(
  { name, outputs }: TableSpec,
  path: string,
  features: ImageFeatures,
  boxes: ReturnType<Boxes['of']>,
): Row[] {
  const { width, height, covered, values, coverage } = features;
  const image = { path, width, height, ...(covered && { covered }) };
  if (name === 'images') return [{ ...image, values: outputs.map(({ name: output }) => values.get(output)!) }];
  return (boxes ?? []).map((box, index) => ({
    ...image,
    region: { ...box, index, coverage: coverage![index]! },
    values: outputs.map(({ name: output, channels }) => {
      const value = values.get(output)!;
      const data = value.data.subarray(index * channels, (index + 1) * channels);
      const one = { dtype: value.dtype, shape: [channels], data };
      return ('scales' in value ? { ...one, scales: value.scales.subarray(index, index + 1) } : one) as typeof value;
    }),
  }));
}

/** A shard that is being written. */
interface OpenShard {
  readonly range: ShardRange;
  readonly writer: ShardWriter;
  readonly lock: ShardLock;
  readonly rows: Record<string, number>;
  readonly failed: string[];
}

/**
 * Computes the features of a source's images, and writes them to a folder in shards. Decoding, inference and writing overlap. A
 * shard is in its place only when it is whole; after an interruption at any moment, the same call with `resume` computes the
 * missing shards. In this process, the bytes equal those of an uninterrupted run.
 * @throws ExtractError, OutputError, and the errors of the extractor. Finished shards remain.
 */
export async function extractFeatures(options: ExtractOptions): Promise<Extracted> {
  const { source, extractor, out, format, oneSize, boxes, share, batch, wanted, signal, note } = options;
  const images = source.count;
  const tables = tablesOf(extractor.outputs);
  const wantedShards = shardCount(images, share.count, options.shardImages ?? defaultShardImages(options));
  const manifest = await beginFolder(out, { settings: settingsOf(options), images, wantedShards });
  const { shards } = manifest;
  await writeOutput('--out', out, () => makeFolder(join(out, 'shards')));

  const mine = sharesOf(shards, share);
  const todo: ShardRange[] = [];
  let [before, failures] = [0, 0];
  for (const shard of mine) {
    const record = await readRecord(out, shard, shards);
    if (record === undefined) todo.push(shardRange(images, shards, shard));
    else {
      before++;
      failures += record.failed;
      // Of a process that ended after it had written the record.
      await rm(lockPath(out, shard, shards), { force: true });
    }
  }
  if (before > 0 && !options.resume) {
    throw new ExtractError(
      'not_resumed',
      `--out: ${out} holds ${before} of ${mine.length} finished shards of this part; add --resume to compute the others, or choose another folder`,
    );
  }
  if (failures > options.maxFailures) {
    throw new ExtractError(
      'too_many_failures',
      `--max-failures: ${failures} images failed in the ${before} finished shards of this part, more than ${options.maxFailures} ` +
        `(${join(out, 'failed.jsonl')}); allow more, or remove the records of these shards (shards/shard_N.json) to compute them again`,
    );
  }
  const total = todo.reduce((sum, { first, end }) => sum + end - first, 0);
  options.progress.begin('extracting', total, 'images');

  const { batches, batchAt } = batchesOf(todo, batch);
  /** With regions alone, an image without boxes has no rows, and need not be read. */
  const onlyRegions = tables.every(({ name }) => name === 'regions');
  const neededOf = (members: readonly number[]) =>
    onlyRegions ? members.filter((index) => (boxes?.of(source.nameOf(index)) ?? []).length > 0) : members;
  const prepare = (item: number) =>
    extractor.prepare(
      neededOf(batchAt(item).members).map((index) => {
        const name = source.nameOf(index);
        const found = boxes && (boxes.of(name) ?? []);
        return { name, read: () => source.read(index), ...(found && { boxes: found }) };
      }),
    );

  let open: OpenShard | undefined;
  let finishing: Promise<void> = Promise.resolve();
  let done = 0;

  const begin = async (range: ShardRange): Promise<OpenShard> => {
    const lock = await lockShard(lockPath(out, range.shard, shards), note, { signal });
    try {
      const { name, version } = extractor.model;
      const shard = shardName(range.shard, shards);
      const writer = await format({ out, shard, tables, dtype: wanted.dtype, model: `${name}@${version}`, oneSize });
      return { range, writer, lock, failed: [], rows: Object.fromEntries(tables.map((table) => [table.name, 0])) };
    } catch (error) {
      await lock.release();
      throw error;
    }
  };

  const abandon = async ({ writer, lock }: OpenShard): Promise<void> => {
    writer.abandon?.();
    for (const file of writer.files) await file.abandon();
    await lock.release();
  };

  const finish = async (shard: OpenShard): Promise<void> => {
    const { range, writer, lock, rows, failed } = shard;
    try {
      await writer.end();
      const files: WrittenFile[] = [];
      for (const file of writer.files) files.push(...(await file.finish()));
      for (const file of writer.files) await file.commit();
      await writeFailed(out, range.shard, shards, failed);
      await writeRecord(out, { ...range, rows, failed: failed.length, files }, shards);
      await lock.release();
    } catch (error) {
      await abandon(shard);
      throw error;
    }
    done++;
  };

  const write = async (shard: OpenShard, members: readonly number[], outcomes: readonly Outcome[]): Promise<void> => {
    for (const [i, index] of members.entries()) {
      const outcome = outcomes[i]!;
      const path = source.nameOf(index);
      if ('failed' in outcome) {
        shard.failed.push(JSON.stringify({ path, index, reason: outcome.failed }));
        failures++;
        continue;
      }
      for (const table of tables) {
        const rows = rowsOf(table, path, outcome.features, boxes?.of(path));
        await shard.writer.append(table.name, rows);
        shard.rows[table.name]! += rows.length;
      }
    }
    if (failures <= options.maxFailures) return;
    const { path, reason } = JSON.parse(shard.failed.at(-1)!) as { path: string; reason: string };
    throw new ExtractError(
      'too_many_failures',
      `${failures} images failed, more than --max-failures ${options.maxFailures}; the last is ${path} (${reason}). Finished shards ` +
        'are kept: --resume goes on with them',
    );
  };

  try {
    let at = 0;
    // Small batches need more of them in advance, to keep the decoding threads busy.
    const ahead = Math.max(2, Math.ceil(DECODED_AHEAD / batch));
    const results = pipelined(batches, prepare, (compute) => compute(), { runs: extractor.runs, ahead });
    for await (const outcomes of results) {
      if (signal.aborted) {
        throw new ExtractError(
          'stopped',
          'stopped by a signal; finished shards are kept, and --resume computes the others',
        );
      }
      const { range, members } = batchAt(at++);
      open ??= await begin(range);
      await write(open, neededOf(members), outcomes);
      options.progress.advance(members.length);
      if (members.at(-1) !== range.end - 1) continue;
      // The previous shard is finished while this one was computed.
      await finishing;
      finishing = finish(open);
      finishing.catch(() => undefined);
      open = undefined;
    }
    await finishing;
  } catch (error) {
    await finishing.catch(() => undefined);
    if (open !== undefined) await abandon(open);
    throw error;
  }
  // Shards without images have a record alone.
  for (const range of todo) {
    if (range.first < range.end) continue;
    const lock = await lockShard(lockPath(out, range.shard, shards), note, { signal });
    try {
      await writeRecord(out, { ...range, rows: {}, failed: 0, files: [] }, shards);
    } finally {
      await lock.release();
    }
    done++;
  }
  const { images: counted, failed } = await ownCounts(out, mine, shards);
  return { images: counted, failed, shards: { done, before }, manifest: await summarise(out, manifest) };
}

/** Counts of a process' own shards, of this and of earlier attempts. */
async function ownCounts(out: string, mine: readonly number[], shards: number) {
  let [images, failed] = [0, 0];
  for (const shard of mine) {
    const record = await readRecord(out, shard, shards);
    images += record === undefined ? 0 : record.end - record.first;
    failed += record?.failed ?? 0;
  }
  return { images, failed };
}
