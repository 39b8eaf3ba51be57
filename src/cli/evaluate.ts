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

/** The same policy for both crops of a pair, between those of the paper's even and odd views. */
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

/** `vicregl evaluate`: measures the quality of a model's features. */
export function registerEvaluate(program: Command): void {
  const evaluate = program.command('evaluate').description("Measure the quality of a model's features.");
  registerEvaluateKnn(evaluate);
  const command = evaluate
    .command('matches')
    .description(
      'Measure the share of the top-20 feature matches (projector space) between overlapping crops of a photograph whose target lies within one cell of the true position, compared with the same network with random weights.',
    )
    .requiredOption('--images <path>', 'folder or archive of photographs that the model was not trained on')
    .option(
      '--augment',
      "flip the crops and change their colours as in the paper's training, so that colour alone is not sufficient (blur and " +
        'solarization with probabilities between those of even and odd views, for both crops)',
      false,
    )
    .option('--pairs <count>', 'pairs of crops per photograph', wholeNumber(1, Number.MAX_SAFE_INTEGER), 4)
    .option(
      '--crop <pixels>',
      "side of the network's input (default: that of the model, or of the run's training)",
      wholeNumber(1),
    )
    .option(
      '--seed <number>',
      'random seed of crops, random weights and bootstrap',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      0,
    )
    .option('--out <file.json>', 'also write the results to a file');
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
  // A small map may have fewer than 20 cells.
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
    // Printed first, so that a full disk does not lose the results.
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
