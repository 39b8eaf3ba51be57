import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Client } from '../client/client.js';
import type { CropRectangle, PlacedImage, Resize } from '../client/image.js';
import type { MatchInput } from '../client/matchInput.js';
import type { MatchOptions } from '../client/options.js';
import { VicreglError } from '../client/vicreglError.js';
import { inOrder } from '../files/inOrder.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { drawMatchesOf } from './drawMatches.js';
import { addCropFlag, addResizeFlag, readImageFile } from './imageFlags.js';
import { addMatchTestFlags, homographyOptions, type MatchTestFlags, matchTests } from './matchFlags.js';
import { printJson } from './printJson.js';
import { refuseFlags } from './refuseFlags.js';
import { wholeNumber } from './wholeNumber.js';

interface MatchFlags extends ConnectFlags, MatchTestFlags {
  readonly by: 'features' | 'location';
  readonly space?: 'backbone' | 'localProjector';
  readonly top?: number;
  readonly mutual: boolean;
  readonly maxDistance?: number;
  readonly resize?: Resize;
  readonly cropA?: CropRectangle;
  readonly cropB?: CropRectangle;
  readonly store: boolean;
  readonly out?: string;
}

function number(text: string): number {
  const value = Number(text);
  if (text.trim() === '' || !Number.isFinite(value)) throw new InvalidArgumentError('It must be a number.');
  return value;
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
    ...matchTests(flags),
  };
}

const isReference = (path: string): boolean => path.startsWith('ref:');

/** @throws VicreglError `INVALID_ARGUMENT` for flags that would be ignored */
function checkApplies(command: Command, pathA: string, pathsB: readonly string[], flags: MatchFlags): void {
  if (flags.by === 'location') {
    const ofFeatures = ['space', 'mutual', 'distance', 'ratio', 'minSimilarity'];
    refuseFlags(command, ofFeatures, 'ignored with --by location; leave out, or use --by features');
  } else {
    refuseFlags(command, ['maxDistance'], 'ignored with --by features; leave out, or use --by location');
  }
  const stored =
    'ignored for stored features (ref:), which were computed with their own; leave out, or pass image files';
  if (isReference(pathA)) refuseFlags(command, ['cropA'], stored);
  if (pathsB.every(isReference)) refuseFlags(command, ['cropB'], stored);
  if ([pathA, ...pathsB].every(isReference)) refuseFlags(command, ['resize', 'store'], stored);
  if (flags.local || flags.model !== undefined) {
    refuseFlags(
      command,
      ['store'],
      'features are stored by a service, and a model in this process ends with the command; use --address',
    );
  }
}

/** One side: an image file, or `ref:` and a reference. */
async function readSide(path: string, flags: MatchFlags, crop: CropRectangle | undefined): Promise<MatchInput> {
  if (isReference(path)) return { featureRef: path.slice(4) };
  const { resize } = flags;
  const image = await readImageFile(path, { ...(resize && { resize }), ...(crop && { crop }) });
  return flags.store ? { image, store: true } : image;
}

/** The image of a side, for drawing. */
function imageOf(side: MatchInput, path: string): PlacedImage {
  if (isReference(path)) {
    throw new VicreglError('INVALID_ARGUMENT', `--out: "${path}" has no pixels to draw on; pass the image file`);
  }
  return ('store' in side ? side.image : side) as PlacedImage;
}

/** Matches one image with several and prints a result for each, in order. */
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

/** `vicregl match A B`: matches cells of two images, and draws them as in the paper's figure. */
export function registerMatch(program: Command): void {
  const command = program
    .command('match')
    .description(
      "Match cells of two images and print the pairs as JSON; --out also draws them as in the paper's figure. With several second " +
        'images, prints a result or an error for each.',
    )
    .argument('<a>', 'first image file, or ref:REFERENCE of stored features')
    .argument('<b...>', 'one or more second image files or references')
    .addOption(
      new Option('--by <kind>', 'match by features, or by location for two crops of one original')
        .choices(['features', 'location'])
        .default('features'),
    )
    .addOption(
      new Option('--space <space>', 'space of the features (default: localProjector if the model has one)').choices([
        'backbone',
        'localProjector',
      ]),
    )
    .option('--top <count>', 'number of closest pairs to keep; 0 keeps all (default: 20)', wholeNumber(0))
    .option('--mutual', 'keep a pair only if each cell is the nearest of the other', false)
    .option('--max-distance <pixels>', 'by location: maximum distance in pixels of the original', number)
    .option('--store', 'store the features of both images on the service; the output contains their references', false)
    .option('--out <file.png>', 'draw both images with the matched cells outlined and connected');
  addCropFlag(command, '--crop-a', 'the first image');
  addCropFlag(command, '--crop-b', 'the second image');
  for (const add of [addMatchTestFlags, addResizeFlag, addConnectFlags]) add(command);
  command.action(async (pathA: string, pathsB: string[], flags: MatchFlags) => {
    const { out } = flags;
    checkApplies(command, pathA, pathsB, flags);
    if (out !== undefined && extname(out) !== '.png') {
      throw new VicreglError('INVALID_ARGUMENT', `--out: "${out}" must end in .png`);
    }
    const [pathB, ...more] = pathsB as [string, ...string[]];
    if (out !== undefined && more.length > 0) {
      throw new VicreglError('INVALID_ARGUMENT', '--out draws two images; pass only one second image');
    }
    if (out !== undefined) await checkOutputFile('--out', out);
    // One after the other: where several are unusable, the first one is reported in every run.
    const a = await readSide(pathA, flags, flags.cropA);
    const sides = await inOrder(pathsB, (path) => readSide(path, flags, flags.cropB));
    const [b, ...others] = sides as [MatchInput, ...MatchInput[]];
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
