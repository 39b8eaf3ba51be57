import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import type { CropRectangle, PlacedImage, Resize } from '../client/image.js';
import type { MatchOptions } from '../client/options.js';
import { VicreglError } from '../client/vicreglError.js';
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
  readonly out?: string;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
}

function matchOptions(flags: MatchFlags): MatchOptions {
  const topGamma = flags.top !== undefined && { topGamma: flags.top };
  if (flags.by === 'location') {
    return {
      by: 'location',
      ...topGamma,
      ...(flags.maxDistance !== undefined && { maxDistance: flags.maxDistance }),
    };
  }
  return {
    by: 'features',
    mutual: flags.mutual,
    ...topGamma,
    ...(flags.space && { space: flags.space }),
    ...(flags.ratio !== undefined && { ratio: flags.ratio }),
    ...(flags.minSimilarity !== undefined && { minSimilarity: flags.minSimilarity }),
  };
}

function imageFlags(resize: Resize | undefined, crop: CropRectangle | undefined) {
  return { ...(resize && { resize }), ...(crop && { crop }) };
}

async function readBoth(pathA: string, pathB: string, flags: MatchFlags): Promise<[PlacedImage, PlacedImage]> {
  return Promise.all([
    readImageFile(pathA, imageFlags(flags.resize, flags.cropA)),
    readImageFile(pathB, imageFlags(flags.resize, flags.cropB)),
  ]);
}

/** `vicregl match A B`: pairs of cells of two images, and the paper's figure of them. */
export function registerMatch(program: Command): void {
  const command = program
    .command('match')
    .description("Pairs of cells of two images as JSON; with --out also drawn, as the paper's figure does.")
    .argument('<a>', 'first image file')
    .argument('<b>', 'second image file')
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
    .option('--out <file.png>', 'draw both images with the matched cells boxed and joined');
  addCropFlag(command, '--crop-a', 'the first image');
  addCropFlag(command, '--crop-b', 'the second image');
  for (const add of [addResizeFlag, addConnectFlags]) add(command);
  command.action(async (pathA: string, pathB: string, flags: MatchFlags) => {
    const { out } = flags;
    if (out !== undefined && extname(out) !== '.png') {
      throw new VicreglError('INVALID_ARGUMENT', `--out: "${out}" must end in .png`);
    }
    const [a, b] = await readBoth(pathA, pathB, flags);
    await withClient(flags, async (client) => {
      const matches = await client.match(a, b, matchOptions(flags));
      if (out !== undefined) await writeFileAtomic(out, await drawMatchesOf(a, b, matches));
      printJson({ ...matches, ...(out !== undefined && { out }) });
    });
  });
}
