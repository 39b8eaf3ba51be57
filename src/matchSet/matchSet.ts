import { createHash } from 'node:crypto';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { LRUCache } from 'lru-cache';
import type { Client } from '../client/client.js';
import { byCodeUnits } from '../data/imageNames.js';
import type { ImageSource } from '../data/sources.js';
import { makeFolder } from '../files/output.js';
import { LockHeldError, type ProcessLock, takeLock } from '../files/processLock.js';
import { storedSize } from '../image/orientation.js';
import type { CellFeatures } from '../match/features.js';
import type { NearestSearch } from '../match/nearest.js';
import type { WorkProgress } from '../progress/work.js';
import { writeColmapDatabase } from './colmapDatabase.js';
import { extractImages, type FailedImage } from './extractFeatures.js';
import { type FeatureFile, openFeatureFile, writeFeatureFile } from './featureFile.js';
import { type FeatureParts, openFeatureParts } from './featureParts.js';
import { checkSettings, type FeatureSettings } from './featureSettings.js';
import { cellFeatures, type ImageFeatures } from './features.js';
import { checkHlocNames, writeHlocMatches } from './hlocMatches.js';
import { writeJsonMatches } from './jsonMatches.js';
import { type MatchJournal, openMatchJournal } from './matchJournal.js';
import { MatchSetError } from './matchSetError.js';
import type { MatchedSet, NamedPair } from './output.js';
import { matchImages, type PairOptions } from './pairMatches.js';
import { checkDistinct, checkNames, exhaustivePairs, type ImagePair, readPairs, retrievalPairs } from './pairs.js';
import { writeWholeFile } from './wholeFile.js';

/** Which images are matched with each other. */
export type PairChoice =
  /** The lines of a list (see `readPairs`). */
  | { readonly kind: 'list'; readonly text: string; readonly file: string }
  | { readonly kind: 'exhaustive' }
  /** Each image with the `count` nearest by embedding. */
  | { readonly kind: 'retrieval'; readonly count: number };

export type MatchSetFormat = 'hloc' | 'colmap' | 'json';

export interface MatchSetOptions {
  readonly images: ImageSource;
  readonly choice: PairChoice;
  /** Output folder; it may have the results of an earlier run, also of one that was killed. */
  readonly out: string;
  readonly format: MatchSetFormat;
  /** Space: the local projector if the model has one, as in Match. */
  readonly features: Omit<FeatureSettings, 'space'> & Partial<Pick<FeatureSettings, 'space'>>;
  readonly matching: PairOptions;
  /** COLMAP: one camera for all images. */
  readonly singleCamera?: boolean;
  readonly client: Pick<Client, 'features' | 'embed' | 'model' | 'serverInfo'>;
  /** Digest of the model's files, which tells models of one name and version apart; absent for a service, which does not state it. */
  readonly modelSha256?: string;
  readonly search: NearestSearch;
  readonly progress: WorkProgress;
  readonly signal: AbortSignal;
}

/** What a run has done. */
export interface MatchSetSummary {
  readonly model: string;
  readonly images: number;
  readonly pairs: number;
  readonly matches: number;
  /** Pairs with a homography; absent if none was asked for. */
  readonly homographies?: number;
  /** Images that cannot be read, and pairs that were left out because of them. */
  readonly failed: readonly FailedImage[];
  readonly skippedPairs: number;
  /** Images and pairs that were computed now; the others were there already. */
  readonly computed: { readonly images: number; readonly pairs: number };
  /** Written files, relative to the output folder. */
  readonly files: readonly string[];
}

/** Bytes of features that are kept in memory. */
const CACHE_BYTES = 512 * 1024 * 1024;
/** Pairs between two syncs of the journal. */
const SYNC_PAIRS = 256;

const digest = (text: string): string => createHash('sha256').update(text).digest('hex').slice(0, 16);

/** @throws MatchSetError `other_settings` naming the first setting that differs. */
function checkSameSettings(path: string, found: string, wanted: string): void {
  if (found === wanted) return;
  const [before, now] = [found, wanted].map((text) => JSON.parse(text) as Record<string, unknown>) as [
    Record<string, unknown>,
    Record<string, unknown>,
  ];
  const shown = (value: unknown): string => (value === undefined ? 'none' : JSON.stringify(value));
  const key = [...new Set([...Object.keys(now), ...Object.keys(before)])].find(
    (k) => shown(before[k]) !== shown(now[k]),
  )!;
  throw new MatchSetError(
    'other_settings',
    `${path} has features with ${key} ${shown(before[key])}, not ${shown(now[key])}; use another --out, or remove the folder`,
  );
}

async function openExisting(path: string): Promise<FeatureFile | undefined> {
  try {
    const file = await openFeatureFile(path);
    if (file.names.size > 0) return file;
    // A file without images, as earlier versions wrote if all failed, binds nobody to its settings.
    file.close();
    return undefined;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Features by name, from the file and, until that is written, from the parts; those read last stay in memory. */
function featureReader(file: () => FeatureFile | undefined, parts: FeatureParts) {
  const cache = new LRUCache<string, ImageFeatures>({
    maxSize: CACHE_BYTES,
    sizeCalculation: ({ descriptors, norms }) => descriptors.byteLength + norms.byteLength,
  });
  const cells = new WeakMap<ImageFeatures, CellFeatures>();
  const read = async (name: string): Promise<ImageFeatures> => {
    const found = cache.get(name);
    if (found) return found;
    const whole = file();
    const features = whole?.names.has(name) ? whole.read(name) : await parts.read(name);
    cache.set(name, features);
    return features;
  };
  return {
    read,
    async matchable(name: string) {
      const features = await read(name);
      let vectors = cells.get(features);
      if (!vectors) {
        vectors = cellFeatures(features);
        cells.set(features, vectors);
      }
      return { features, cells: vectors };
    },
  };
}

/** Takes the lock of the folder. @throws MatchSetError `in_use` with the way out */
async function lockFolder(out: string): Promise<ProcessLock> {
  try {
    return await takeLock(join(out, 'cache', 'lock'));
  } catch (cause) {
    if (!(cause instanceof LockHeldError)) throw cause;
    const way = cause.here ? 'wait for it, stop it' : `if it has ended, remove ${cause.path}; otherwise wait for it`;
    throw new MatchSetError('in_use', `--out: ${cause.message}; ${way}, or choose another --out`, { cause });
  }
}

/** The pairs, by the numbers of the images; for retrieval, of those that have features. */
async function choosePairs(
  choice: PairChoice,
  names: readonly string[],
  wanted: readonly number[],
  usable: readonly number[],
  features: (name: string) => Promise<ImageFeatures>,
): Promise<ImagePair[]> {
  if (choice.kind === 'list') return readPairs(choice.text, choice.file, names);
  if (choice.kind === 'exhaustive') return exhaustivePairs(wanted);
  const embeddings = new Map<number, Float32Array>();
  for (const image of usable) embeddings.set(image, (await features(names[image]!)).global!);
  return retrievalPairs(embeddings, choice.count);
}

/** Matches the pairs that the journal does not have. @returns their number */
async function matchPairs(
  pairs: readonly NamedPair[],
  journal: MatchJournal,
  matchable: ReturnType<typeof featureReader>['matchable'],
  { matching, search, progress, signal }: MatchSetOptions,
): Promise<number> {
  const missing = pairs.filter(({ a, b }) => !journal.has(a, b));
  progress.begin('matching', missing.length, 'pairs');
  for (const [i, { a, b }] of missing.entries()) {
    signal.throwIfAborted();
    const matches = await matchImages(await matchable(a), await matchable(b), matching, search, signal);
    await journal.append(a, b, matches);
    if ((i + 1) % SYNC_PAIRS === 0) await journal.sync();
    progress.advance();
  }
  await journal.sync();
  return missing.length;
}

/** @throws MatchSetError `bad_images` for images of several sizes. */
async function checkOneSize(set: MatchedSet): Promise<void> {
  const first = set.names[0] === undefined ? undefined : storedSize(await set.features(set.names[0]));
  for (const name of set.names) {
    const { width, height } = storedSize(await set.features(name));
    if (width === first!.width && height === first!.height) continue;
    throw new MatchSetError(
      'bad_images',
      `--single-camera: ${name} has ${width} x ${height} pixels, and ${set.names[0]} ${first!.width} x ${first!.height}; leave it out`,
    );
  }
}

/** Writes the files of the format. @returns their names */
async function writeFormat({ out, format, singleCamera = false }: MatchSetOptions, set: MatchedSet): Promise<string[]> {
  switch (format) {
    case 'hloc':
      await writeHlocMatches(join(out, 'matches.h5'), set);
      await writePairs(out, set);
      return ['matches.h5', 'pairs.txt'];
    case 'colmap':
      if (singleCamera) await checkOneSize(set);
      await writeColmapDatabase(join(out, 'database.db'), set, singleCamera);
      await writePairs(out, set);
      return ['database.db', 'pairs.txt'];
    case 'json':
      await writeJsonMatches(join(out, 'matches.jsonl'), set);
      return ['matches.jsonl'];
  }
}

const writeText = (path: string, lines: readonly string[]): Promise<void> =>
  writeWholeFile(path, (temporary) => writeFile(temporary, lines.join('')));

/** The list of pairs, as hloc and COLMAP's matches_importer read it; as `readPairs`, with a tab where a name has a space. */
const writePairs = (out: string, { pairs }: MatchedSet): Promise<void> =>
  writeText(
    join(out, 'pairs.txt'),
    pairs.map(({ a, b }) => `${a}${/\s/.test(`${a}${b}`) ? '\t' : ' '}${b}\n`),
  );

/**
 * Matches pairs of images of a set, and writes the features and matches in the layout of another tool.
 *
 * Features are computed once for each image and kept in `features.h5`, matches in a journal in `cache/`. A run that was stopped or
 * killed goes on where it was, if it is started again with the same options; other pairs, options of matching or another
 * format reuse the features, and the matches that are the same.
 * @throws MatchSetError, also if another process works in the folder; VicreglError of the client; MatchError for options that
 *   do not fit; the signal's reason.
 */
export async function matchSet(options: MatchSetOptions): Promise<MatchSetSummary> {
  const { images, out, choice, client, progress, signal } = options;
  const names = Array.from({ length: images.count }, (_, i) => images.nameOf(i));
  checkDistinct(names);
  const numbers = new Map(names.map((name, i) => [name, i] as const));
  // Mistakes in a list are found before any work.
  const listed = choice.kind === 'list' ? readPairs(choice.text, choice.file, names) : undefined;
  const wanted = listed
    ? [...new Set(listed.flatMap(({ a, b }) => [a, b]))].sort((a, b) => a - b)
    : names.map((_, i) => i);
  checkNames(wanted.map((image) => names[image]!));
  if (options.format === 'hloc') checkHlocNames(wanted.map((image) => names[image]!));
  const model = await client.model();
  const { space = model.dimensions.localProjector === undefined ? 'backbone' : 'localProjector' } = options.features;
  const featureSettings: FeatureSettings = { ...options.features, space };
  const check = checkSettings(featureSettings, model, await client.serverInfo({ signal }));
  const label = `${model.name}@${model.version}`;
  const settingsWith = (modelSha256: string | undefined): string =>
    JSON.stringify({ model: label, ...(modelSha256 !== undefined && { modelSha256 }), ...featureSettings });

  await makeFolder(join(out, 'cache'));
  const lock = await lockFolder(out);
  const path = join(out, 'features.h5');
  let file: FeatureFile | undefined;
  let journal: MatchJournal | undefined;
  try {
    file = await openExisting(path);
    // Features of a service or an older version have no digest: they are continued without one, as nothing is known to compare.
    const unknown = file !== undefined && !Object.hasOwn(JSON.parse(file.settings) as object, 'modelSha256');
    const settings = settingsWith(unknown ? undefined : options.modelSha256);
    if (file) checkSameSettings(path, file.settings, settings);
    const partsFolder = join(out, 'cache', `features-${digest(settings)}`);
    await makeFolder(partsFolder);
    const parts = await openFeatureParts(partsFolder);
    const reader = featureReader(() => file, parts);

    const has = (name: string): boolean => file?.names.has(name) === true || parts.has(name);
    const missing = wanted.map((image) => names[image]!).filter((name) => !has(name));
    progress.begin('features', missing.length, 'images');
    const failed = await extractImages(client, missing, featureSettings, model.stride, {
      check,
      read: (name) => images.read(numbers.get(name)!),
      async keep(name, features) {
        if (features) await parts.write(name, features);
        progress.advance();
      },
      signal,
    });
    file = await mergeParts(path, settings, file, parts, names);

    const usable = wanted.filter((image) => has(names[image]!));
    const chosen = listed ?? (await choosePairs(choice, names, wanted, usable, reader.read));
    const named = chosen.map(({ a, b }) => ({ a: names[a]!, b: names[b]! }));
    const pairs = named.filter(({ a, b }) => has(a) && has(b));
    journal = await openMatchJournal(
      join(out, 'cache', `matches-${digest(JSON.stringify([settings, options.matching]))}.jsonl`),
    );
    const matched = await matchPairs(pairs, journal, reader.matchable, options);

    const kept = journal;
    const set: MatchedSet = {
      names: usable.map((image) => names[image]!),
      pairs,
      features: reader.read,
      matches: ({ a, b }) => kept.read(a, b),
    };
    const files = await writeFormat(options, set);
    await writeFailed(join(out, 'failed.jsonl'), failed);
    const summary: MatchSetSummary = {
      model: label,
      images: usable.length,
      pairs: pairs.length,
      ...(await countMatches(set, options.matching.homography !== undefined)),
      failed,
      skippedPairs: named.length - pairs.length,
      computed: { images: missing.length - failed.length, pairs: matched },
      files: [...(file ? ['features.h5'] : []), ...files, ...(failed.length > 0 ? ['failed.jsonl'] : [])],
    };
    const { computed: _, ...result } = summary;
    const manifest = { settings: JSON.parse(settings) as unknown, matching: options.matching, format: options.format };
    await writeText(join(out, 'match-set.json'), [`${JSON.stringify({ ...manifest, ...result }, null, 2)}\n`]);
    return summary;
  } finally {
    await journal?.close();
    file?.close();
    await lock.release();
  }
}

/**
 * Writes the file with the features of earlier runs and the new ones, and removes the parts.
 * @returns the open file; undefined if no image has features: an empty file would bind the folder to settings that may be wrong
 */
async function mergeParts(
  path: string,
  settings: string,
  file: FeatureFile | undefined,
  parts: FeatureParts,
  names: readonly string[],
): Promise<FeatureFile | undefined> {
  const added = names.filter((name) => parts.has(name) && !file?.names.has(name));
  if (added.length === 0) {
    await parts.clear();
    return file;
  }
  const all = [...(file?.names ?? []), ...added].sort(byCodeUnits);
  const isNew = new Set(added);
  await writeFeatureFile(
    path,
    settings,
    all.map((name) => ({ name, read: () => (isNew.has(name) ? parts.read(name) : file!.read(name)) })),
  );
  file?.close();
  const whole = await openFeatureFile(path);
  await parts.clear();
  return whole;
}

async function writeFailed(path: string, failed: readonly FailedImage[]): Promise<void> {
  if (failed.length === 0) return rm(path, { force: true });
  return writeText(
    path,
    failed.map((image) => `${JSON.stringify(image)}\n`),
  );
}

async function countMatches(
  set: MatchedSet,
  withHomography: boolean,
): Promise<{ readonly matches: number; readonly homographies?: number }> {
  let [matches, homographies] = [0, 0];
  for (const pair of set.pairs) {
    const { source, homography } = await set.matches(pair);
    matches += source.length;
    if (homography && 'matrix' in homography) homographies++;
  }
  return { matches, ...(withHomography && { homographies }) };
}
