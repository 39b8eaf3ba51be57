import { type Command, InvalidArgumentError, Option } from 'commander';
import type { Variant } from '../models/exportSource.js';
import { wholeNumber } from './wholeNumber.js';

/** The variant in which a model is written. */
export interface VariantFlags {
  readonly precision: Variant['precision'];
  readonly compute: NonNullable<Variant['compute']>;
  readonly outputStride?: number;
  readonly stages?: readonly number[];
  readonly singleFile: boolean;
}

function stageList(text: string): number[] {
  const stages = text.split(',').map(Number);
  if (stages.some((stage) => !Number.isInteger(stage) || stage < 1)) {
    throw new InvalidArgumentError('It must be a comma-separated list of stages, counted from 1, such as 1,2,3,4.');
  }
  return stages;
}

/** Adds --precision, --compute, --output-stride, --stages and --single-file. */
export function addVariantFlags(command: Command): Command {
  return command
    .addOption(
      new Option('--precision <type>', 'type in which weights are stored')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .addOption(
      new Option('--compute <type>', 'arithmetic of matrix products and convolutions; float16 is for CUDA')
        .choices(['float32', 'float16'])
        .default('float32'),
    )
    .option('--output-stride <pixels>', 'pixels from one cell to the next, for a ResNet: 32, 16 or 8', wholeNumber(1))
    .option('--stages <list>', 'also output the maps of these stages, such as 1,2,3,4', stageList)
    .option('--single-file', 'store weights in the graphs (under 2 GiB each) instead of weights.safetensors', false);
}

/** The variant that the flags select. */
export function variantOf({ precision, compute, outputStride, stages, singleFile }: VariantFlags): Variant {
  return {
    precision,
    compute,
    ...(outputStride !== undefined && { outputStride }),
    ...(stages && { stages }),
    singleFile,
  };
}
