import { createHash } from 'node:crypto';
import { access, readFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { DataError } from '../../data/dataError.js';
import { watched } from '../../data/imageContents.js';
import { fileProblem } from '../../files/fileProblem.js';
import { decodeImage } from '../../image/decode.js';
import type { Homography } from '../../image/homography.js';
import type { RgbImage } from '../../image/types.js';
import { setDigest } from '../contentDigest.js';
import { checkedHomography, readHomography } from './homographyFile.js';
import { fromPixelCentres, isInFront } from './planarMap.js';

/** Two pictures of a plane. */
export interface PlanarPair {
  readonly name: string;
  readonly a: RgbImage;
  readonly b: RgbImage;
  /** Pixels of a to pixels of b, in edge coordinates. */
  readonly aToB: Homography;
}

/** Pairs with a known homography, in groups that are resampled as one item: pictures of one photograph are not independent. */
export interface PlanarPairs {
  /** Names of the items. */
  readonly names: readonly string[];
  /** Pictures of all items. */
  readonly images: number;
  /** Number of items, and a digest of what decides their pairs. */
  readonly fingerprint: string;
  /** A digest of the files of all pictures, as they were when they were first read. */
  contents(): Promise<string>;
  /**
   * The pairs of an item, at least one. They may be made one by one, as they are asked for.
   * @throws ImageError for a picture that cannot be decoded, DataError for one that does not fit its homography or that has changed
   *   since it was read before.
   */
  load(item: number): Promise<Iterable<PlanarPair>>;
}

const side = z.object({
  file: z.string().min(1),
  width: z.int().positive().optional(),
  height: z.int().positive().optional(),
});
/** Checked by `checkedHomography`, whose errors name the pair. */
const matrix = z.array(z.unknown());
const pairsSchema = z.array(z.object({ name: z.string().min(1), a: side, b: side, aToB: matrix }));

type Side = z.infer<typeof side>;

/** A pair whose pictures are files. */
interface PairFiles {
  readonly name: string;
  readonly a: Side;
  readonly b: Side;
  /** In edge coordinates. */
  readonly aToB: Homography;
}

async function readPicture(
  { file, width, height }: Side,
  pair: string,
  read: () => Promise<Buffer>,
): Promise<RgbImage> {
  const image = await decodeImage(await read());
  if ((width ?? image.width) !== image.width || (height ?? image.height) !== image.height) {
    throw new DataError(
      'malformed',
      `${pair}: ${file} has ${image.width} x ${image.height} pixels, and its homography is for ${width ?? image.width} x ${height ?? image.height}; use the file that it was made for`,
    );
  }
  return image;
}

/** @throws DataError `malformed` for a homography that takes a part of picture a to infinity. */
function checkFront({ name, aToB }: PairFiles, a: RgbImage): void {
  if (isInFront(aToB, a)) return;
  throw new DataError(
    'malformed',
    `${name}: the homography takes a part of picture a to infinity, so it is not its view in b`,
  );
}

/** @param files with their whole paths */
function pairsOfFiles(files: readonly PairFiles[]): PlanarPairs {
  const paths = files.flatMap(({ a, b }) => [a.file, b.file]);
  const pictures = watched({
    count: paths.length,
    nameOf: (index) => paths[index]!,
    read: (index) => readFile(paths[index]!),
  });
  const digest = createHash('sha256')
    .update(
      JSON.stringify(files.map(({ name, a, b, aToB }) => [name, basename(a.file), basename(b.file), Array.from(aToB)])),
    )
    .digest('hex');
  return {
    names: files.map(({ name }) => name),
    images: 2 * files.length,
    fingerprint: `${files.length} pairs, sha256 ${digest.slice(0, 16)}`,
    contents: () => setDigest(pictures, [...paths.keys()]),
    async load(item) {
      const pair = files[item]!;
      const a = await readPicture(pair.a, pair.name, () => pictures.read(2 * item));
      const b = await readPicture(pair.b, pair.name, () => pictures.read(2 * item + 1));
      checkFront(pair, a);
      return [{ name: pair.name, a, b, aToB: pair.aToB }];
    },
  };
}

/**
 * Opens a folder of pairs with a `pairs.json` (docs/evaluation.md, Homographies).
 * @throws DataError `not_found` for a missing file, `malformed` for a pairs.json of another form or a matrix that is not a
 *   homography, `no_images` for one without pairs.
 */
export async function openPairsFolder(dir: string): Promise<PlanarPairs> {
  const path = join(dir, 'pairs.json');
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw new DataError('not_found', `${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  let json: unknown;
  try {
    // A byte order mark is white space here, and an error in JSON.
    json = JSON.parse(text.trim());
  } catch (cause) {
    throw new DataError('malformed', `${path} is not valid JSON: ${(cause as Error).message}`, { cause });
  }
  const parsed = pairsSchema.safeParse(json);
  if (!parsed.success) {
    const { path: keys, message } = parsed.error.issues[0]!;
    throw new DataError('malformed', `${path}: ${keys.length > 0 ? `${keys.join('.')}: ` : ''}${message}`);
  }
  if (parsed.data.length === 0) throw new DataError('no_images', `${path} has no pairs`);
  const files = parsed.data.map(({ name, a, b, aToB }) => ({
    name,
    a: { ...a, file: join(dir, a.file) },
    b: { ...b, file: join(dir, b.file) },
    aToB: fromPixelCentres(checkedHomography(aToB, `${path}: pair "${name}"`)),
  }));
  const names = new Set<string>();
  for (const { name, a, b } of files) {
    if (names.has(name)) throw new DataError('malformed', `${path}: two pairs have the name "${name}"`);
    names.add(name);
    for (const { file } of [a, b]) {
      await access(file).catch((cause: unknown) => {
        throw new DataError('not_found', `${path}: pair "${name}": ${file} cannot be read: ${fileProblem(cause)}`, {
          cause,
        });
      });
    }
  }
  return pairsOfFiles(files);
}

/**
 * Opens a single pair.
 * @param homography file with the homography of a to b, see `readHomography`; the centre of the first pixel is (0, 0)
 * @throws DataError `malformed`; the system's error if the homography's file cannot be read.
 */
export async function openPair(a: string, b: string, homography: string): Promise<PlanarPairs> {
  const truth = readHomography(await readFile(homography, 'utf8'), homography);
  const name = `${basename(a)} ${basename(b)}`;
  return pairsOfFiles([{ name, a: { file: a }, b: { file: b }, aToB: fromPixelCentres(truth) }]);
}
