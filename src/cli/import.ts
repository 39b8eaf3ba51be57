import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { requireFreePlace } from '../models/folder.js';
import { AUTHORS_LICENSE, importCheckpoint, licenseOfFile, UNKNOWN_LICENSE } from '../models/importCheckpoint.js';
import { withProgress } from '../progress/work.js';
import { printJson } from './printJson.js';
import { shellWord } from './shellWord.js';
import { addVariantFlags, type VariantFlags, variantOf } from './variantFlags.js';

interface ImportFlags extends VariantFlags {
  readonly out: string;
  readonly arch?: string;
  readonly prefix?: string;
  readonly alpha?: number;
  readonly license?: string;
  readonly expander: boolean;
  readonly force: boolean;
  readonly json: boolean;
}

function parseAlpha(text: string): number {
  const alpha = Number(text);
  if (text.trim() === '' || !(alpha >= 0 && alpha <= 1)) throw new InvalidArgumentError('It must be a number in 0..1.');
  return alpha;
}

/** `vicregl import`: converts a checkpoint to a model folder. */
export function registerImport(program: Command): void {
  const command = program
    .command('import')
    .description(
      "Convert a PyTorch or safetensors checkpoint (such as the authors' files or our own) to a model folder.",
    )
    .argument('<file>', 'checkpoint file; code in it is never executed')
    .requiredOption('--out <dir>', 'model folder; its name becomes the name of the model')
    .option('--arch <name>', 'architecture (default: inferred from names and shapes of the weights)')
    .option(
      '--prefix <text>',
      'prefix of the weight names that selects one of several encoders, such as teacher/backbone.',
    )
    .option(
      '--alpha <x>',
      "weight of the global loss in training, recorded in the manifest (default: from the file's name, else unknown)",
      parseAlpha,
    )
    .option('--license <name>', `licence of the weights (default: ${AUTHORS_LICENSE} for the authors' file names)`)
    .option(
      '--no-expander',
      'omit the expander (projector), the largest head, which is rarely needed for serving; it is not validated either',
    )
    .option('--force', 'overwrite an existing model folder', false)
    .option('--json', 'print what was imported and what was skipped as JSON', false);
  addVariantFlags(command).action(async (file: string, flags: ImportFlags) => {
    await requireFreePlace(flags.out, flags.force);
    const license = flags.license ?? licenseOfFile(file);
    const { manifest, network } = await withProgress((progress) =>
      importCheckpoint(file, flags.out, {
        ...variantOf(flags),
        name: basename(resolve(flags.out)),
        architecture: flags.arch,
        prefix: flags.prefix,
        alpha: flags.alpha,
        license,
        writeExpander: flags.expander,
        force: flags.force,
        progress,
      }),
    );
    const { alpha, heads, dims, architecture } = manifest;
    if (license === AUTHORS_LICENSE) console.error(`The authors' weights are ${license}: no commercial use.`);
    if (license === UNKNOWN_LICENSE) console.error('The licence of the weights is unknown; set it with --license.');
    if (flags.json) {
      const { expander, localProjector, classes, leftOut } = network;
      printJson({
        model: flags.out,
        ...{ architecture, alpha, license, channels: dims.representation },
        heads: { expander: expander ?? null, localProjector: localProjector ?? null, classes: classes ?? null },
        leftOut,
      });
      return;
    }
    const absent = [!heads.localProjector && 'local projector', !heads.expander && 'expander'].filter(Boolean);
    if (absent.length > 0) console.error(`The model has no ${absent.join(' and no ')}.`);
    if (network.classes) console.error(`Its classifier with ${network.classes} classes is in classifier.onnx.`);
    if (network.poolingOrder === 'mean-norm') {
      console.error('The map is averaged before normalisation, as in supervised ConvNeXts; VICRegL averages after it.');
    }
    for (const { name, tensors, reason } of network.leftOut) {
      const count = `${tensors} ${tensors === 1 ? 'tensor' : 'tensors'}`;
      console.error(`Skipped: ${name} (${count})${reason === undefined ? '' : `: ${reason}`}`);
    }
    console.log(`${flags.out}: ${architecture}, alpha ${alpha ?? 'unknown'}, ${dims.representation} channels`);
    console.log(`serve it with: npx vicregl serve --model ${shellWord(flags.out)}`);
  });
}
