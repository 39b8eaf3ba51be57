import { type Command, Option } from 'commander';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { addCropFlag, addResizeFlag, type ImageFlags, readImageFile } from './imageFlags.js';
import { printJson } from './printJson.js';
import { addVectorFlags, type VectorFlags } from './vectorFlags.js';
import { checkTensorFile, writeTensor } from './writeTensor.js';

interface FeaturesFlags extends ConnectFlags, ImageFlags, VectorFlags {
  readonly space: 'backbone' | 'localProjector';
}

/** `vicregl features IMAGE`: the local vector of every cell of an image. */
export function registerFeatures(program: Command): void {
  const command = program
    .command('features')
    .description('The local vector of every cell: grid and shape as JSON, the vectors themselves with --out.')
    .argument('<image>', 'image file')
    .addOption(
      new Option('--space <space>', 'where the vectors live')
        .choices(['backbone', 'localProjector'])
        .default('backbone'),
    );
  for (const add of [addVectorFlags, addResizeFlag, addCropFlag, addConnectFlags]) add(command);
  command.action(async (path: string, flags: FeaturesFlags) => {
    checkTensorFile(flags.out);
    const image = await readImageFile(path, flags);
    await withClient(flags, async (client) => {
      const { space, dtype, l2, out } = flags;
      const { shape, grid, tensor, model } = await client.features(image, { space, dtype, l2Normalize: l2 });
      const summary = { model, space, dtype, shape, grid };
      if (out !== undefined) await writeTensor(out, 'features', tensor, summary);
      printJson({ ...summary, ...(out !== undefined && { out }) });
    });
  });
}
