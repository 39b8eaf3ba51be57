import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Client } from '../client/client.js';
import type { CropRectangle, PlacedImage, Resize } from '../client/image.js';
import type { MatchInput } from '../client/matchInput.js';
import type { MatchOptions } from '../client/options.js';
import { VicreglError } from '../client/vicreglError.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { drawMatchesOf } from './drawMatches.js';
import { addCropFlag, addResizeFlag, readImageFile } from './imageFlags.js';
import { printJson } from './printJson.js';
import { wholeNumber } from './wholeNumber.js';

interface MatchFlags extends ConnectFlags {
  readonly by: 'features' | 'location';
  readonly space?: 'backbone' | 'localProjector';
  readonly top?: number;
  readonly mutual: boolean;
  readonly ratio?: number;
  readonly minSimilarity?: number;
  readonly maxDistance?: number;
  readonly resize?: Resize;
  readonly cropA?: CropRectangle;
  readonly cropB?: CropRectangle;
  readonly homography: boolean;
  readonly homographyThreshold?: number;
  readonly homographySeed?: number;
  readonly store: boolean;
  readonly out?: string;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

function homographyOptions({ homography, homographyThreshold: threshold, homographySeed: seed }: MatchFlags) {
  if (!homography && threshold === undefined && seed === undefined) return {};
  return { homography: { ...(threshold !== undefined && { threshold }), ...(seed !== undefined && { seed }) } };
}

function matchOptions(flags: MatchFlags): MatchOptions {
  const topGamma = flags.top !== undefined && { topGamma: flags.top };
  const homography = homographyOptions(flags);
  if (flags.by === 'location') {
    return {
      by: 'location',
      ...topGamma,
      ...homography,
      ...(flags.maxDistance !== undefined && { maxDistance: flags.maxDistance }),
    };
  }
  return {
    by: 'features',
    mutual: flags.mutual,
    ...topGamma,
    ...homography,
    ...(flags.space && { space: flags.space }),
    ...(flags.ratio !== undefined && { ratio: flags.ratio }),
    ...(flags.minSimilarity !== undefined && { minSimilarity: flags.minSimilarity }),
  };
}

/** One side: an image file, or `ref:` and a reference. */
async function readSide(path: string, flags: MatchFlags, crop: CropRectangle | undefined): Promise<MatchInput> {
  if (path.startsWith('ref:')) return { featureRef: path.slice(4) };
  const { resize } = flags;
  const image = await readImageFile(path, { ...(resize && { resize }), ...(crop && { crop }) });
  return flags.store ? { image, store: true } : image;
}

/** The image of a side, to draw on. */
function imageOf(side: MatchInput, path: string): PlacedImage {
  if (path.startsWith('ref:')) {
    throw new VicreglError('INVALID_ARGUMENT', `--out: "${path}" has no pixels to draw on; give the image file`);
  }
  return ('store' in side ? side.image : side) as PlacedImage;
}

/** One image with several: a result for each, in their order. */
async function printMany(client: Client, query: MatchInput, targets: MatchInput[], paths: string[], flags: MatchFlags) {
  const results = await client.matchMany(query, targets, matchOptions(flags));
  printJson({
    results: results.map((result, i) => {
      const target = paths[i];
      if (result.status === 'fulfilled') return { target, ...result.value };
      const { code, reason, message } = result.reason;
      return { target, error: { code, ...(reason !== undefined && { reason }), message } };
    }),
  });
}

/** `vicregl match A B`: pairs of cells of two images, and the paper's figure of them. */
export function registerMatch(program: Command): void {
  const command = program
    .command('match')
    .description(
      "Pairs of cells of two images as JSON; with --out also drawn, as the paper's figure does. With several second " +
        'images, a result or an error for each.',
    )
    .argument('<a>', 'first image file, or ref:REFERENCE of features that the service keeps')
    .argument('<b...>', 'second image file or reference, or several')
    .addOption(
      new Option('--by <kind>', 'by features, or by location for two crops of one original')
        .choices(['features', 'location'])
        .default('features'),
    )
    .addOption(
      new Option('--space <space>', 'where features are compared (default: localProjector where there is one)').choices(
        ['backbone', 'localProjector'],
      ),
    )
    .option('--top <count>', 'pairs to keep, the closest ones; 0 keeps all (default: 20)', wholeNumber(0))
    .option('--mutual', "keep a pair only where each is the other's nearest", false)
    .option('--ratio <ratio>', 'nearest must be this much closer than the second nearest, 0 to 1', number)
    .option('--min-similarity <cosine>', 'least cosine similarity, -1 to 1', number)
    .option('--max-distance <pixels>', 'by location: largest distance in the original', number)
    .option('--homography', 'also fit a homography to the pairs that are kept (use it with --top 0)', false)
    .option(
      '--homography-threshold <pixels>',
      "largest distance of an inlier in b (default: the pitch of b's cells)",
      number,
    )
    .option('--homography-seed <seed>', 'seed of the samples (default: 0)', wholeNumber(0))
    .option('--store', 'have the service keep the features of both; the answer holds their references', false)
    .option('--out <file.png>', 'draw both images with the matched cells boxed and joined');
  addCropFlag(command, '--crop-a', 'the first image');
  addCropFlag(command, '--crop-b', 'the second image');
  for (const add of [addResizeFlag, addConnectFlags]) add(command);
  command.action(async (pathA: string, pathsB: string[], flags: MatchFlags) => {
    const { out } = flags;
    if (out !== undefined && extname(out) !== '.png') {
      throw new VicreglError('INVALID_ARGUMENT', `--out: "${out}" must end in .png`);
    }
    const [pathB, ...more] = pathsB as [string, ...string[]];
    if (out !== undefined && more.length > 0) {
      throw new VicreglError('INVALID_ARGUMENT', '--out: draws two images; give one second image');
    }
    if (out !== undefined) await checkOutputFile('--out', out);
    const [a, b, ...others] = await Promise.all([
      readSide(pathA, flags, flags.cropA),
      ...pathsB.map((path) => readSide(path, flags, flags.cropB)),
    ] as [Promise<MatchInput>, Promise<MatchInput>, ...Promise<MatchInput>[]]);
    await withClient(flags, async (client) => {
      if (more.length > 0) return printMany(client, a, [b, ...others], pathsB, flags);
      const matches = await client.match(a, b, matchOptions(flags));
      if (out !== undefined) {
        const picture = await drawMatchesOf(imageOf(a, pathA), imageOf(b, pathB), matches);
        await writeOutputFile('--out', out, picture);
      }
      printJson({ ...matches, ...(out !== undefined && { out }) });
    });
  });
}
