import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { type AugmentationPolicy, paperAugmentation } from '../data/augment.js';
import { openImageSource } from '../data/sources.js';
import { compareWithRandom } from '../evaluate/compareWithRandom.js';
import type { MatchQuality } from '../evaluate/matchQuality.js';
import { checkOutputFile, writeOutputFile } from '../files/output.js';
import { planInput } from '../image/resize.js';
import { showProgress } from '../progress/work.js';
import { addEngineFlags, type EngineFlags, sayOnce, startBatchEngine } from './engine.js';
import { addEvaluatedFlags, type EvaluatedFlags, type EvaluatedModel, openEvaluated } from './evaluatedModel.js';
import { registerEvaluateKnn } from './evaluateKnn.js';
import { skippedText } from './skippedText.js';
import { wholeNumber } from './wholeNumber.js';

/** Both crops of a pair are changed alike, between the paper's two kinds of views. */
const matchAugmentation: AugmentationPolicy = {
  ...paperAugmentation[0],
  blurProbability: 0.5,
  solarizeProbability: 0.1,
};

interface MatchesFlags extends EngineFlags, EvaluatedFlags {
  readonly images: string;
  readonly crop?: number;
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
    .option(
      '--augment',
      "flip the crops and change their colours as the paper's training does (blur and solarization between those of its even " +
        'and of its odd views, for both crops): colour alone no longer matches',
      false,
    )
    .option('--pairs <count>', 'pairs of crops of each photograph', wholeNumber(1, Number.MAX_SAFE_INTEGER), 4)
    .option(
      '--crop <pixels>',
      "side of the crops as the network sees them (default: the model's, or that of the run's training)",
      wholeNumber(1),
    )
    .option('--seed <number>', 'fixes crops, random weights and bootstrap', wholeNumber(0, Number.MAX_SAFE_INTEGER), 0)
    .option('--out <file.json>', 'write the figures to a file too');
  addEngineFlags(addEvaluatedFlags(command)).action(async (flags: MatchesFlags) => {
    if (flags.out !== undefined) await checkOutputFile('--out', flags.out);
    const scratch = await mkdtemp(join(tmpdir(), 'vicregl-'));
    try {
      await evaluateMatches(await openEvaluated(flags, scratch), flags);
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  });
}

async function evaluateMatches({ folder, sizes }: EvaluatedModel, flags: MatchesFlags): Promise<void> {
  const { pairs, seed, augment, out } = flags;
  const { name, version, stride } = folder.manifest;
  const size = flags.crop ?? sizes.crop;
  planInput({ width: size, height: size }, { kind: 'shortestSide', resize: size, crop: size }, stride);
  // A small map may have fewer cells than matches are scored by default.
  const top = Math.min(20, (size / stride) ** 2);
  const photographs = await openImageSource(flags.images, { given: '--images' });
  const progress = showProgress();
  const log = sayOnce(progress.note);
  try {
    const { trained, random, gainInterval } = await compareWithRandom(
      folder,
      photographs,
      (each) => startBatchEngine(each, flags, log),
      {
        pairsPerPhotograph: pairs,
        seed,
        size,
        topGamma: top,
        progress,
        ...(augment && { augmentation: [matchAugmentation, matchAugmentation] }),
      },
    );
    progress.stop();
    const report = {
      model: `${name} ${version}`,
      images: trained.perPhotograph.length,
      skipped: skippedText(trained.skipped),
      crop: size,
      top,
      augmented: augment,
      trained: figures(trained),
      random: figures(random),
      gain_interval: gainInterval.map(rounded),
      chance: rounded(trained.chance),
    };
    const text = `${JSON.stringify(report, null, 2)}\n`;
    process.stdout.write(text);
    // Printed first: a disk that has become full does not lose the figures.
    if (out !== undefined) await writeOutputFile('--out', out, text);
  } finally {
    progress.stop();
    await photographs.close();
  }
}

const rounded = (value: number) => Number(value.toFixed(4));

function figures({ share, interval, visible, matches }: MatchQuality) {
  return { share: rounded(share), interval_95: interval.map(rounded), visible: rounded(visible), matches };
}
