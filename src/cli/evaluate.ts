import type { Command } from 'commander';
import writeFileAtomic from 'write-file-atomic';
import { paperAugmentation } from '../data/augment.js';
import { openImageSource } from '../data/sources.js';
import { compareWithRandom } from '../evaluate/compareWithRandom.js';
import type { MatchQuality } from '../evaluate/matchQuality.js';
import { openModelFolder } from '../models/folder.js';
import { bundledModelFolder } from './defaults.js';
import { addEngineFlags, type EngineFlags, startEngine } from './engine.js';
import { registerEvaluateKnn } from './evaluateKnn.js';
import { wholeNumber } from './wholeNumber.js';

interface MatchesFlags extends EngineFlags {
  readonly model: string;
  readonly images: string;
  readonly augment: boolean;
  readonly pairs: number;
  readonly seed: number;
  readonly out?: string;
}

/** `vicregl evaluate`: how good a model's features are. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description('Measure how good the features of a model are.');
  registerEvaluateKnn(evaluate);
  const command = evaluate
    .command('matches')
    .description(
      'Share of the top-20 feature matches (projector space) between overlapping crops of a photograph whose target lies within one cell of the true place, beside the same network with random weights.',
    )
    .requiredOption('--images <path>', 'folder or archive of photographs the model has not seen')
    .option('--model <dir>', 'model folder', bundledModelFolder)
    .option(
      '--augment',
      "flip the crops and change their colours as the paper's training does (the first crop as its even views, the second as " +
        'its odd ones): colour alone no longer matches',
      false,
    )
    .option('--pairs <count>', 'pairs of crops of each photograph', wholeNumber(1, Number.MAX_SAFE_INTEGER), 4)
    .option('--seed <number>', 'fixes crops, random weights and bootstrap', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--out <file.json>', 'write the figures to a file too');
  addEngineFlags(command).action(async (flags: MatchesFlags) => {
    const { pairs, seed, augment, out } = flags;
    const [model, photographs] = [await openModelFolder(flags.model), await openImageSource(flags.images)];
    const { trained, random, gainInterval } = await compareWithRandom(
      model,
      photographs,
      (folder) => startEngine(folder, flags),
      {
        pairsPerPhotograph: pairs,
        seed,
        ...(augment && { augmentation: paperAugmentation }),
      },
    );
    const { name, version } = model.manifest;
    const report = {
      model: `${name} ${version}`,
      images: photographs.count,
      augmented: augment,
      trained: figures(trained),
      random: figures(random),
      gain_interval: gainInterval.map(rounded),
      chance: rounded(trained.chance),
    };
    const text = `${JSON.stringify(report, null, 2)}\n`;
    if (out !== undefined) await writeFileAtomic(out, text);
    process.stdout.write(text);
  });
}

const rounded = (value: number) => Number(value.toFixed(4));

function figures({ share, interval, visible, matches }: MatchQuality) {
  return { share: rounded(share), interval_95: interval.map(rounded), visible: rounded(visible), matches };
}
