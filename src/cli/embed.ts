import { type Command, Option } from 'commander';
import { addConnectFlags, type ConnectFlags, withClient } from './connect.js';
import { addCropFlag, addResizeFlag, type ImageFlags, readImageFile } from './imageFlags.js';
import { printJson } from './printJson.js';
import { addVectorFlags, type VectorFlags } from './vectorFlags.js';
import { checkTensorFile, writeTensor } from './writeTensor.js';

interface EmbedFlags extends ConnectFlags, ImageFlags, VectorFlags {
  readonly space: 'backbone' | 'expander';
}

/** Number of vector elements that are printed. */
const SHOWN = 5;

function norm(vector: Float32Array): number {
  return Math.hypot(...vector);
}

/** `vicregl embed IMAGE`: the global vector of an image. */
export function registerEmbed(program: Command): void {
  const command = program
    .command('embed')
    .description('Compute the global vector of an image. Prints a summary as JSON; --out writes the vector.')
    .argument('<image>', 'image file')
    .addOption(
      new Option('--space <space>', 'space of the vector').choices(['backbone', 'expander']).default('backbone'),
    );
  for (const add of [addVectorFlags, addResizeFlag, addCropFlag, addConnectFlags]) add(command);
  command.action(async (path: string, flags: EmbedFlags) => {
    await checkTensorFile(flags.out, flags.dtype);
    const image = await readImageFile(path, flags);
    await withClient(flags, async (client) => {
      const { space, dtype, l2, out } = flags;
      const { vector, tensor, model } = await client.embed(image, { space, dtype, l2Normalize: l2 });
      const summary = { model, space, dtype, shape: tensor.shape, norm: norm(vector) };
      if (out !== undefined) await writeTensor(out, 'embedding', tensor, summary);
      printJson({ ...summary, first: [...vector.subarray(0, SHOWN)], ...(out !== undefined && { out }) });
    });
  });
}
