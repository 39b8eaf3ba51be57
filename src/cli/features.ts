import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { FeatureOptions } from '../client/options.js';
import type { Box } from '../client/regions.js';
import { VicreglError } from '../client/vicreglError.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { addDenseFlags, type DenseFlags, denseOptions } from './denseFlags.js';
import { addCropFlag, addResizeFlag, type ImageFlags, readImageFile } from './imageFlags.js';
import { pcaPicture } from './pcaPicture.js';
import { printJson } from './printJson.js';
import { addVectorFlags, type VectorFlags } from './vectorFlags.js';
import { wholeNumber } from './wholeNumber.js';
import { checkTensorFile, writeTensor } from './writeTensor.js';

interface FeaturesFlags extends ConnectFlags, ImageFlags, VectorFlags, DenseFlags {
  readonly space: 'backbone' | 'localProjector';
  readonly region?: Box;
  readonly stage?: number;
  readonly pca?: number;
  readonly picture?: string;
  readonly chunked: boolean;
}

/** Reads `left,top,right,bottom`. */
function parseBox(text: string): Box {
  const parts = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  const [left, top, right, bottom] = parts as [number, number, number, number];
  if (parts.length !== 4 || !parts.every(Number.isFinite)) {
    throw new InvalidArgumentError('It must be LEFT,TOP,RIGHT,BOTTOM in pixels of the original.');
  }
  return { left, top, right, bottom };
}

function featureOptions(flags: FeaturesFlags): FeatureOptions {
  const { space, dtype, l2, region, stage, picture, chunked } = flags;
  const components = flags.pca ?? (picture === undefined ? undefined : 3);
  return {
    space,
    dtype,
    l2Normalize: l2,
    chunked,
    ...denseOptions(flags),
    ...(region && { region }),
    ...(stage !== undefined && { stages: [stage] }),
    ...(components !== undefined && { pca: { components } }),
  };
}

async function checkPicture(path: string | undefined): Promise<void> {
  if (path === undefined) return;
  if (extname(path) === '.png') return checkOutputFile('--picture', path);
  throw new VicreglError('INVALID_ARGUMENT', `--picture: "${path}" must end in .png`);
}

/** `vicregl features IMAGE`: the local vector of every cell of an image. */
export function registerFeatures(program: Command): void {
  const command = program
    .command('features')
    .description('Compute the local vector of every cell. Prints grid and shape as JSON; --out writes the vectors.')
    .argument('<image>', 'image file')
    .addOption(
      new Option('--space <space>', 'space of the vectors').choices(['backbone', 'localProjector']).default('backbone'),
    )
    .option('--stage <number>', 'map of an earlier stage, if the model was exported with it', wholeNumber(1))
    .option(
      '--region <left,top,right,bottom>',
      'only the cells that overlap a rectangle of the original, in pixels',
      parseBox,
    )
    .option('--pca <components>', 'reduce the vectors to this number of principal components', wholeNumber(1))
    .option('--picture <file.png>', 'draw the first three principal components as red, green and blue')
    .option('--chunked', 'receive the map in chunks, for maps that exceed the limits of one message', false);
  for (const add of [addDenseFlags, addVectorFlags, addResizeFlag, addCropFlag, addConnectFlags]) add(command);
  command.action(async (path: string, flags: FeaturesFlags) => {
    const { out, picture, space, dtype, stage } = flags;
    await checkTensorFile(out, dtype);
    await checkPicture(picture);
    const image = await readImageFile(path, flags);
    await withClient(flags, async (client) => {
      const features = await client.features(image, featureOptions(flags));
      const { shape, grid, tensor, model, pca } = features;
      const explained = pca && { explainedVarianceRatio: pca.explainedVarianceRatio };
      const summary = { model, space, ...(stage !== undefined && { stage }), dtype, shape, grid, ...explained };
      if (out !== undefined) await writeTensor(out, 'features', tensor, summary);
      if (picture !== undefined) {
        const drawn = await pcaPicture(features);
        await writeOutputFile('--picture', picture, drawn);
      }
      printJson({ ...summary, ...(out !== undefined && { out }), ...(picture !== undefined && { picture }) });
    });
  });
}
