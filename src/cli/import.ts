import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { requireFreePlace } from '../models/folder.js';
import { AUTHORS_LICENSE, importCheckpoint, licenseOfFile } from '../models/importCheckpoint.js';
import { addVariantFlags, type VariantFlags, variantOf } from './variantFlags.js';

interface ImportFlags extends VariantFlags {
  readonly out: string;
  readonly arch?: string;
  readonly alpha?: number;
  readonly license?: string;
  readonly expander: boolean;
  readonly force: boolean;
}

function parseAlpha(text: string): number {
  const alpha = Number(text);
  if (text.trim() === '' || !(alpha >= 0 && alpha <= 1)) throw new InvalidArgumentError('It must be a number in 0..1.');
  return alpha;
}

/** `vicregl import`: somebody's checkpoint as a model folder. */
export function registerImport(program: Command): void {
  const command = program
    .command('import')
    .description("Write a checkpoint of PyTorch or safetensors (the authors' files, our own) as a model folder.")
    .argument('<file>', 'checkpoint; nothing in it is ever run')
    .requiredOption('--out <dir>', 'model folder; its name is the name of the model')
    .option('--arch <name>', 'architecture (default: from names and shapes of the weights)')
    .option(
      '--alpha <x>',
      "weight of the global loss in training (default: from the file's name; 1 for a supervised network)",
      parseAlpha,
    )
    .option('--license <name>', `licence of the weights (default: ${AUTHORS_LICENSE} for the authors' file names)`)
    .option('--no-expander', 'leave out the expander, the largest head, which serving seldom needs')
    .option('--force', 'replace the model folder', false);
  addVariantFlags(command).action(async (file: string, flags: ImportFlags) => {
    await requireFreePlace(flags.out, flags.force);
    const license = flags.license ?? licenseOfFile(file);
    const { manifest, network } = await importCheckpoint(file, flags.out, {
      ...variantOf(flags),
      name: basename(resolve(flags.out)),
      architecture: flags.arch,
      alpha: flags.alpha,
      license,
      writeExpander: flags.expander,
      force: flags.force,
    });
    const absent = [!network.localProjector && 'local projector', !network.expander && 'expander'].filter(Boolean);
    if (absent.length > 0) console.error(`The file has no ${absent.join(' and no ')}.`);
    if (network.classes) console.error(`Its classifier of ${network.classes} classes is classifier.onnx.`);
    if (network.poolingOrder === 'mean-norm') {
      console.error('The map is averaged before it is normalised, as in supervised ConvNeXts; VICRegL averages after.');
    }
    if (network.leftOut.length > 0) {
      const shown = network.leftOut.slice(0, 5).join(', ');
      console.error(`Left out: ${shown}${network.leftOut.length > 5 ? ` and ${network.leftOut.length - 5} more` : ''}`);
    }
    if (license === AUTHORS_LICENSE) console.error(`The authors' weights are ${license}: no commercial use.`);
    if (license === 'unknown') console.error('The licence is not known; say it with --license.');
    console.log(
      `${flags.out}: ${manifest.architecture}, alpha ${manifest.alpha}, ${manifest.dims.representation} channels`,
    );
    console.log(`serve it with: npx vicregl serve --model ${flags.out}`);
  });
}
