import { type Command, Option } from 'commander';

export interface VectorFlags {
  readonly dtype: 'float32' | 'float16' | 'int8';
  readonly l2: boolean;
  readonly out?: string;
}

/** Adds --dtype, --l2 and --out. */
export function addVectorFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--dtype <dtype>', 'element type of the response')
        .choices(['float32', 'float16', 'int8'])
        .default('float32'),
    )
    .option('--l2', 'scale vectors to length 1 (L2 normalisation)', false)
    .option('--out <file>', 'write the tensor to a .safetensors, .npy or .json file');
}
