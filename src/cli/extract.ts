import { type Command, InvalidArgumentError, Option } from 'commander';
import { type Client, createClient } from '../client/client.js';
import { imageMessage, type Resize } from '../client/image.js';
import { openImageSource } from '../data/sources.js';
import { modelDigest } from '../evaluate/subjects/modelSubject.js';
import { type Boxes, readBoxes } from '../extract/boxes.js';
import { extractFeatures } from '../extract/extract.js';
import { ExtractError } from '../extract/extractError.js';
import type { Extractor, Wanted } from '../extract/features.js';
import { defaultFormat, type FormatName, formatNames, openFormat } from '../extract/formats/formats.js';
import { createLocalExtractor } from '../extract/localExtractor.js';
import { machineShare } from '../extract/machineShare.js';
import { createServiceExtractor } from '../extract/serviceExtractor.js';
import { checkOutputFolder } from '../files/output.js';
import type { ResizePolicy } from '../image/types.js';
import { jsonProgress } from '../progress/jsonLines.js';
import { type ShownProgress, showProgress } from '../progress/work.js';
import { readResizePolicy } from '../serve/api/wire/image.js';
import { addConnectFlags, type ConnectFlags } from './connect.js';
import { hinted } from './connectionHint.js';
import { bundledModelFolder, DEFAULT_ADDRESS } from './defaults.js';
import { addDenseFlags, type DenseFlags, denseOptions } from './denseFlags.js';
import { sayOnce, startBatchEngine } from './engine.js';
import { addResizeFlag } from './imageFlags.js';
import { openModel } from './modelFolders.js';
import { ofInput } from './ofInput.js';
import { printJson } from './printJson.js';
import { readSecurity } from './securityFlags.js';
import { stopOnSignals } from './stopOnSignals.js';
import { wholeNumber } from './wholeNumber.js';

/** Exit code if all is done and images failed. */
const SOME_FAILED = 3;

const kinds = ['embedding', 'features'] as const;
const spaces = ['backbone', 'expander', 'localProjector'] as const;

interface ExtractFlags extends ConnectFlags, DenseFlags {
  readonly source: string;
  readonly out: string;
  readonly what: readonly (typeof kinds)[number][];
  readonly space: readonly (typeof spaces)[number][];
  readonly stages?: readonly number[];
  readonly format?: FormatName;
  readonly dtype: Wanted['dtype'];
  readonly l2: boolean;
  readonly pool?: string;
  readonly resize?: Resize;
  readonly shard?: string;
  readonly shardImages?: number;
  readonly batchSize?: number;
  readonly resume: boolean;
  readonly maxFailures: number;
}

/** Reads a list such as `embedding,features`. */
function listOf<T extends string>(choices: readonly T[]): (text: string) => readonly T[] {
  return (text) => {
    const items = text.split(',').map((item) => item.trim());
    const wrong = items.find((item, i) => !choices.includes(item as T) || items.indexOf(item) < i);
    if (wrong === undefined) return items as T[];
    throw new InvalidArgumentError(
      `It must be one or several of ${choices.join(', ')}, separated by commas, each once.`,
    );
  };
}

function parseStages(text: string): readonly number[] {
  const stages = text.split(',').map((item) => (/^\s*\d{1,3}\s*$/.test(item) ? Number(item) : -1));
  if (stages.every((stage, i) => stage >= 0 && stages.indexOf(stage) === i)) return stages;
  throw new InvalidArgumentError('It must be numbers of stages, separated by commas, each once; 0 is the last map.');
}

/** @throws ExtractError `bad_option` for flags that contradict each other or would be ignored */
function wantedOf({ what, space, stages, pool, dtype, l2, ...dense }: ExtractFlags): Wanted {
  const { upsample, tiles } = dense;
  const [embedding, features] = kinds.map((kind) => what.includes(kind));
  const without = (flag: string, needed: string) =>
    new ExtractError('bad_option', `${flag}: applies to ${needed}; add it to --what, or remove the flag`);
  if (space.includes('expander') && !embedding) throw without('--space expander', 'the embedding');
  if (space.includes('localProjector') && !features) throw without('--space localProjector', 'features');
  const ofEmbedding = space.includes('expander') ? 'expander' : 'backbone';
  const ofFeatures = space.includes('localProjector') ? 'localProjector' : 'backbone';
  const unused = space.find((each) => !(embedding && each === ofEmbedding) && !(features && each === ofFeatures));
  if (unused !== undefined) {
    throw new ExtractError(
      'bad_option',
      `--space ${space.join(',')}: every output has one space, so nothing would be of ${unused}; remove it, or extract it in a run of its own`,
    );
  }
  if (stages !== undefined && !features) throw without('--stages', 'features');
  if (space.includes('localProjector') && stages !== undefined && !stages.includes(0)) {
    throw new ExtractError(
      'bad_option',
      `--stages ${stages.join(',')}: the local projector is of the last map; add 0, or remove --space localProjector`,
    );
  }
  if (pool !== undefined && !features) throw without('--pool', 'features');
  if (upsample !== undefined && !features) throw without('--upsample', 'features');
  if (tiles !== undefined && !features) throw without('--tiles', 'features');
  if (tiles !== undefined && embedding) {
    throw new ExtractError(
      'bad_option',
      '--tiles: an embedding has no tiles; extract the embeddings and the features in two runs, with two output folders',
    );
  }
  return {
    dtype,
    l2,
    ...(embedding && { embedding: { space: ofEmbedding } }),
    ...(features && {
      features: {
        space: ofFeatures,
        stages: stages ?? [0],
        ...denseOptions({ ...(upsample !== undefined && { upsample }), ...(tiles && { tiles }) }),
      },
    }),
  };
}

function policyOf(
  { resize, tiles }: Pick<ExtractFlags, 'resize' | 'tiles'>,
  model: Parameters<typeof readResizePolicy>[1],
): ResizePolicy {
  // The message of a request, so that flag and request mean the same.
  const { shortestSide = null, fit = null, native = null } = imageMessage({ ...(resize && { resize }) }, '--resize');
  return readResizePolicy(
    { shortestSide, fit, native, crop: null } as Parameters<typeof readResizePolicy>[0],
    model,
    tiles !== undefined,
  );
}

interface Opened {
  readonly extractor: Extractor;
  readonly policy: ResizePolicy;
}

async function openLocal(
  dir: string,
  flags: ExtractFlags,
  wanted: Wanted,
  note: (text: string) => void,
): Promise<Opened> {
  const folder = await ofInput('--model', dir, () => openModel(dir));
  const { manifest } = folder;
  const policy = policyOf(flags, manifest);
  const engine = await startBatchEngine(folder, flags, sayOnce(note));
  try {
    const sha256 = modelDigest(manifest);
    return {
      policy,
      extractor: createLocalExtractor(engine, { wanted, policy, sha256, pooled: flags.pool !== undefined }),
    };
  } catch (error) {
    await engine.close();
    throw error;
  }
}

async function openService(
  client: Client,
  flags: ExtractFlags,
  wanted: Wanted,
  note: (text: string) => void,
  signal: AbortSignal,
): Promise<Opened> {
  const { resize, pool } = flags;
  const { preprocessing, stride } = await client.model({ signal });
  const policy = policyOf(flags, { preprocessing, stride } as Parameters<typeof policyOf>[1]);
  const pooled = pool !== undefined;
  return { policy, extractor: await createServiceExtractor(client, { wanted, resize, policy, pooled, signal, note }) };
}

async function openPool(path: string | undefined, source: { count: number; nameOf(i: number): string }) {
  if (path === undefined) return undefined;
  const boxes: Boxes = await ofInput('--pool', path, () => readBoxes(path));
  const missing = new Set(boxes.names);
  for (let item = 0; item < source.count && missing.size > 0; item++) missing.delete(source.nameOf(item));
  if (missing.size === 0) return boxes;
  const named = [...missing].slice(0, 5).join(', ');
  throw new ExtractError(
    'bad_option',
    `--pool: ${path} names ${missing.size} images that are not in the source: ${named}${missing.size > 5 ? ', ...' : ''}; names are ` +
      `those of the source, such as ${source.nameOf(0)}`,
  );
}

const resizeText = (policy: ResizePolicy): string =>
  policy.kind === 'native'
    ? 'native'
    : policy.kind === 'fit'
      ? `fit:${policy.width}x${policy.height}`
      : `shortest:${policy.resize},${policy.crop}`;

async function extract(flags: ExtractFlags, progress: ShownProgress, signal: AbortSignal): Promise<void> {
  const { out } = flags;
  const { note } = progress;
  const wanted = wantedOf(flags);
  const share = machineShare(flags.shard, process.env);
  await checkOutputFolder('--out', out);
  const source = await ofInput('--source', flags.source, () => openImageSource(flags.source, { given: '--source' }));
  const folder = flags.model ?? (flags.local ? bundledModelFolder : undefined);
  const address = flags.address ?? DEFAULT_ADDRESS;
  const security = await readSecurity(flags, process.env);
  let opened: Opened | undefined;
  try {
    const boxes = await openPool(flags.pool, source);
    if (folder !== undefined) {
      opened = await openLocal(folder, flags, wanted, note);
    } else {
      const client = createClient({ address, ...security });
      try {
        opened = await openService(client, flags, wanted, note, signal);
      } catch (error) {
        await client.close();
        throw await hinted(
          error,
          address,
          security,
          'start a service with "vicregl serve", or give --model or --local',
        );
      }
    }
    const { extractor, policy } = opened;
    const { outputs } = extractor;
    const oneSize = policy.kind !== 'native' || typeof flags.upsample === 'object';
    const formatName = flags.format ?? defaultFormat(outputs);
    const format = await openFormat(formatName, { outputs, oneSize, dtype: wanted.dtype });
    note(`part ${share.index} of ${share.count} (${share.origin})`);
    const result = await extractFeatures({
      source,
      extractor,
      wanted,
      out,
      formatName,
      format,
      oneSize,
      resize: resizeText(policy),
      inputPixels: pixelsOf(policy),
      ...(boxes && { boxes }),
      share,
      ...(flags.shardImages !== undefined && { shardImages: flags.shardImages }),
      batch: flags.batchSize ?? extractor.batch,
      resume: flags.resume,
      maxFailures: flags.maxFailures,
      signal,
      progress,
      note,
    });
    progress.stop();
    const { manifest, ...own } = result;
    printJson({
      out,
      part: share,
      ...own,
      folder: { shards: manifest.shards, images: manifest.images, finished: manifest.finished },
    });
    if (own.failed > 0) process.exitCode = SOME_FAILED;
  } finally {
    await opened?.extractor.close();
    await source.close();
  }
}

/** Of a network input; for `native`, whose inputs differ, those of a common size. */
function pixelsOf(policy: ResizePolicy): number {
  if (policy.kind === 'fit') return policy.width * policy.height;
  return policy.kind === 'shortestSide' ? policy.crop ** 2 : 512 ** 2;
}

/** `vicregl extract`: the features of a data set. */
export function registerExtract(program: Command): void {
  const command = program
    .command('extract')
    .description(
      'Compute the features of a data set and write them in shards, as Parquet, NumPy, HDF5 or Lance files. Exit code 3: all done, ' +
        'but some images could not be read (failed.jsonl).',
    )
    .requiredOption(
      '--source <source>',
      'folder, list (.csv, .tsv, .jsonl), .tar, or shards such as train-{000..099}.tar',
    )
    .requiredOption('--out <dir>', 'folder for the shards and the manifest')
    .addOption(
      new Option('--what <list>', 'embedding (one vector per image), features (one vector per cell), or both')
        .argParser(listOf(kinds))
        .default(['embedding'], 'embedding'),
    )
    .addOption(
      new Option('--space <list>', 'backbone; expander for the embedding; localProjector for features')
        .argParser(listOf(spaces))
        .default(['backbone'], 'backbone'),
    )
    .option('--stages <list>', 'maps of these stages, such as 1,2; 0 is the last map (default: 0)', parseStages)
    .addOption(
      new Option('--format <format>', 'format of the files (default: parquet for vectors, hdf5 for maps)').choices(
        formatNames,
      ),
    )
    .addOption(new Option('--dtype <dtype>', 'element type').choices(['float32', 'float16', 'int8']).default('float32'))
    .option('--l2', 'scale vectors to length 1 (L2 normalisation)', false)
    .option(
      '--pool <boxes.jsonl>',
      'one vector per box instead of maps; lines {"path": NAME, "boxes": [[left, top, right, bottom], ...]}, in pixels',
    )
    .option(
      '--shard <index/count>',
      'part of the images for this process, from 0/count (default: from JOB_COMPLETION_INDEX, SLURM_ARRAY_TASK_ID or RANK)',
    )
    .option(
      '--shard-images <count>',
      'images per output shard at most, rounded down to a multiple of 8 (default: a million rows, or 1 GB of maps)',
      wholeNumber(1),
    )
    .option(
      '--batch-size <count>',
      'images per run of the network (default: 2 on the CPU, 64 on CUDA, 8 with a service)',
      wholeNumber(1, 4096),
    )
    .option('--resume', 'keep finished shards and compute the others; also for a new folder', false)
    .addOption(
      new Option('--max-failures <count>', 'stop if more images than this fail')
        .argParser(wholeNumber(0))
        .default(Number.POSITIVE_INFINITY, 'no limit'),
    );
  for (const add of [addDenseFlags, addResizeFlag, addConnectFlags]) add(command);
  command.action(async (flags: ExtractFlags) => {
    const progress = process.stderr.isTTY ? showProgress() : jsonProgress();
    const stop = new AbortController();
    const off = stopOnSignals(() => stop.abort());
    try {
      await extract(flags, progress, stop.signal);
    } finally {
      off();
      progress.stop();
    }
  });
}
