import type { Command } from 'commander';
import { type AugmentationPolicy, noAugmentation, paperAugmentation } from '../../data/augment.js';
import { openImageSource } from '../../data/sources.js';
import type { LocalSpace } from '../../evaluate/localSpace.js';
import { mainGamma, matchedOutput, measureMatches } from '../../evaluate/matching/matchMeasures.js';
import { namesWithout } from '../../evaluate/namesWithout.js';
import { requireImages } from '../../evaluate/requireImages.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import type { MatchDistance } from '../../match/distance.js';
import { distanceOption } from '../matchFlags.js';
import { wholeNumber } from '../wholeNumber.js';
import { addEvaluationFlags, type EvaluationFlags, resultData, runEvaluation } from './evaluation.js';
import { spaceOption } from './spaceOption.js';

/** The same policy for both crops of a pair, between those of the paper's even and odd views. */
const matchAugmentation: AugmentationPolicy = {
  ...paperAugmentation[0],
  blurProbability: 0.5,
  solarizeProbability: 0.1,
};

/** Mirrors crops as `matchAugmentation` does, and leaves their colours. */
const flips: AugmentationPolicy = { ...noAugmentation, flipProbability: matchAugmentation.flipProbability };

interface MatchesFlags extends EvaluationFlags {
  readonly images: string;
  readonly crop?: number;
  readonly space: LocalSpace;
  readonly distance: MatchDistance;
  readonly augment: boolean;
  readonly flip: boolean;
  readonly pairs: number;
}

const mean = (values: Float64Array): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** `vicregl evaluate matches`: feature matches between crops of a photograph. */
export function registerEvaluateMatches(evaluate: Command): void {
  const command = evaluate
    .command('matches')
    .description(
      'Measure the share of the best feature matches between overlapping crops of a photograph that find the true position, to one cell and ' +
        'refined to 1, 3 and 5 pixels, for several numbers of best matches; compared with random weights or other baselines.',
    )
    .requiredOption('--images <path>', 'folder or archive of photographs that the model was not trained on')
    .addOption(spaceOption())
    .addOption(distanceOption())
    .option('--flip', 'mirror the crops with probability 0.5', false)
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
      async ({ evaluated, sources, seed, cache, progress }) => {
        const { pairs, augment, flip, space, distance } = flags;
        const size = flags.crop ?? evaluated.sizes.crop;
        const policy = augment ? matchAugmentation : flips;
        const photographs = await openImageSource(flags.images, { given: '--images' });
        try {
          requireImages(photographs.count);
          const measures = await measureSubjects(
            sources,
            (subject, source) =>
              measureMatches(subject, source, photographs, {
                pairsPerPhotograph: pairs,
                seed,
                size,
                space,
                distance,
                cache,
                progress,
                ...((augment || flip) && { augmentation: [policy, policy] }),
              }),
            (source) => matchedOutput(source, { size, space }),
          );
          const { chance, grid, skipped } = measures[0]!.quality;
          const top = mainGamma(grid.rows * grid.columns);
          const names = Array.from({ length: photographs.count }, (_, i) => photographs.nameOf(i));
          return {
            kind: 'matches' as const,
            protocol: `top-${top} feature matches in ${space} space between ${pairs} pairs of overlapping crops of each photograph`,
            options: {
              crop: size,
              top,
              pairs,
              space,
              distance,
              augmented: augment,
              flipped: flip || augment,
              chance: Object.fromEntries(sources.map(({ name }, i) => [name, mean(measures[i]!.quality.chance)])),
            },
            items: namesWithout(names, skipped),
            measures: measures.map(({ figures, curves, quality }) => ({
              figures,
              items: namesWithout(names, quality.skipped),
              ...(curves && { curves }),
            })),
            data: [
              await resultData({
                ...{ role: 'images', path: flags.images, source: photographs, skipped },
                indices: [...names.keys()],
                images: chance.length,
              }),
            ],
          };
        } finally {
          await photographs.close();
        }
      },
    ),
  );
}
