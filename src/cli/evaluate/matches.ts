import type { Command } from 'commander';
import { type AugmentationPolicy, paperAugmentation } from '../../data/augment.js';
import { openImageSource } from '../../data/sources.js';
import { measureMatches } from '../../evaluate/matching/matchMeasures.js';
import { requireImages } from '../../evaluate/requireImages.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import { planInput } from '../../image/resize.js';
import { wholeNumber } from '../wholeNumber.js';
import { addEvaluationFlags, type EvaluationFlags, resultData, runEvaluation } from './evaluation.js';

/** The same policy for both crops of a pair, between those of the paper's even and odd views. */
const matchAugmentation: AugmentationPolicy = {
  ...paperAugmentation[0],
  blurProbability: 0.5,
  solarizeProbability: 0.1,
};

interface MatchesFlags extends EvaluationFlags {
  readonly images: string;
  readonly crop?: number;
  readonly augment: boolean;
  readonly pairs: number;
}

/** `vicregl evaluate matches`: feature matches between crops of a photograph. */
export function registerEvaluateMatches(evaluate: Command): void {
  const command = evaluate
    .command('matches')
    .description(
      'Measure the share of the top-20 feature matches (projector space) between overlapping crops of a photograph whose target lies within one cell of the true position, compared with random weights or other baselines.',
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
    );
  addEvaluationFlags(command, 'the crops').action((flags: MatchesFlags) =>
    runEvaluation(
      flags,
      () => ({}),
      async ({ evaluated, sources, seed, progress }) => {
        const { pairs, augment } = flags;
        const { stride } = evaluated.folder.manifest;
        const size = flags.crop ?? evaluated.sizes.crop;
        planInput({ width: size, height: size }, { kind: 'shortestSide', resize: size, crop: size }, stride);
        // A small map may have fewer than 20 cells.
        const top = Math.min(20, (size / stride) ** 2);
        const photographs = await openImageSource(flags.images, { given: '--images' });
        try {
          requireImages(photographs.count);
          const measures = await measureSubjects(sources, (subject, source) =>
            measureMatches(subject, source, photographs, {
              pairsPerPhotograph: pairs,
              seed,
              size,
              topGamma: top,
              progress,
              ...(augment && { augmentation: [matchAugmentation, matchAugmentation] }),
            }),
          );
          const { quality } = measures[0]!;
          const skipped = new Set(quality.skipped.map(({ index }) => index));
          const items = Array.from({ length: photographs.count }, (_, i) => i).filter((i) => !skipped.has(i));
          return {
            kind: 'matches' as const,
            protocol: `top-${top} feature matches in projector space between ${pairs} pairs of overlapping crops of each photograph`,
            options: { crop: size, top, pairs, augmented: augment, chance: quality.chance },
            items: items.map((i) => photographs.nameOf(i)),
            measures: measures.map(({ figures }) => ({ figures })),
            data: [resultData('images', flags.images, photographs, quality.perPhotograph.length, quality.skipped)],
          };
        } finally {
          await photographs.close();
        }
      },
    ),
  );
}
