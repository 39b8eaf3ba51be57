import { type Command, Option } from 'commander';
import { checkSizes } from '../../evaluate/classification/embedSplit.js';
import { linearAccuracy } from '../../evaluate/classification/linear/linearAccuracy.js';
import { requireTestedClasses, stratifiedSubset } from '../../evaluate/classification/trainSubset.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import { backboneOfManifest } from '../../models/architecture.js';
import { familyOf } from '../../nn/backbone.js';
import type { LabelledSplit } from '../../probe/labelledImages.js';
import { realNumber } from '../realNumber.js';
import { wholeNumber } from '../wholeNumber.js';
import { askedSizes } from './evaluatedModel.js';
import { addEvaluationFlags, type EvaluationFlags, runEvaluation } from './evaluation.js';
import { addLabelledFlags, type LabelledFlags, withLabelledData } from './labelledData.js';

interface LinearFlags extends EvaluationFlags, LabelledFlags {
  readonly trainPercent: number;
  readonly quick: boolean;
  readonly epochs: number;
  readonly batch: number;
  readonly lr?: readonly number[];
  readonly weightDecay: number;
  readonly seeds: number;
}

const MOMENTUM = 0.9;

/** `vicregl evaluate linear`: linear classification by a model's representations, which stay as they are. */
export function registerEvaluateLinear(evaluate: Command): void {
  const command = evaluate
    .command('linear')
    .description(
      "Measure the accuracy of a linear classifier that is trained on a frozen model's representations of labelled images, compared with random weights or other baselines. The default is the protocol of the paper's authors: random resized crops with flips in each of 100 epochs. --quick computes the features once.",
    );
  const rate = realNumber(0);
  addLabelledFlags(command)
    .option(
      '--train-percent <percent>',
      'share of the training images of each class that is used, such as 1, 10 or 100; with equal seeds a smaller share is part of a larger one',
      realNumber(0, { atMost: 100 }),
      100,
    )
    .option(
      '--quick',
      'train on features of central crops and their mirror images, which are computed once, instead of random crops',
      false,
    )
    .option('--epochs <count>', 'passes over the training images', wholeNumber(1, 100_000), 100)
    .option('--batch <count>', 'images of a step', wholeNumber(1, 65_536), 256)
    .addOption(
      new Option(
        '--lr <rate>',
        'learning rate of the first epoch, not scaled by --batch; repeat it to take the one that is best on a tenth of the ' +
          'training images, which is held out for it (default: 0.3 for a ConvNeXt, 0.02 for a ResNet)',
      ).argParser((text: string, previous: readonly number[] = []) => [...previous, rate(text)]),
    )
    .option('--weight-decay <number>', 'L2 penalty', realNumber(0, { inclusive: true }), 1e-6)
    .option(
      '--seeds <count>',
      'classifiers with different initial weights and batch orders, over which accuracies are averaged',
      wholeNumber(1, 100),
      1,
    );
  addEvaluationFlags(command, 'the image selection, crops, classifiers').action((flags: LinearFlags) =>
    runEvaluation(
      flags,
      () => ({}),
      (context) => {
        const { evaluated, sources, cache, progress, seed } = context;
        const { trainPercent, quick, epochs, batch, weightDecay, seeds, threads } = flags;
        const select = (split: LabelledSplit): LabelledSplit => {
          const train = stratifiedSubset(split.train, split.classes, { percent: trainPercent, seed });
          requireTestedClasses(train, split.test, split.classes);
          return { ...split, train };
        };
        return withLabelledData(
          flags,
          context,
          async ({ split, duplicates, describe }) => {
            const family = familyOf(backboneOfManifest(evaluated.folder.manifest));
            const learningRates = [...new Set(flags.lr ?? [family.linearEvaluationRate])];
            const sizes = askedSizes(flags, evaluated.sizes);
            const measures = await measureSubjects(
              sources,
              (subject, source) =>
                linearAccuracy(subject, source, split, {
                  ...sizes,
                  quick,
                  epochs,
                  batchSize: batch,
                  learningRates,
                  momentum: MOMENTUM,
                  weightDecay,
                  seeds,
                  seed,
                  cache,
                  progress,
                  // Threads that spin would take the cores from the network.
                  session: { spinning: false, ...(threads !== undefined && { threads }) },
                }),
              (source) => checkSizes(source, sizes),
            );
            const [first] = measures;
            return {
              kind: 'linear' as const,
              protocol:
                `linear classification of representations, ${quick ? 'central crops and their mirror images' : 'random resized crops with flips'}, ` +
                `${epochs} epochs of SGD with a batch of ${batch}`,
              options: {
                quick,
                trainPercent,
                epochs,
                batch,
                momentum: MOMENTUM,
                weightDecay,
                seeds,
                learningRates,
                chosenLearningRates: Object.fromEntries(
                  sources.map(({ name }, i) => [name, measures[i]!.learningRate]),
                ),
                ...sizes,
                classes: split.classes.length,
                duplicates: { count: duplicates.count, by: duplicates.by },
              },
              items: first!.items!,
              measures: measures.map(({ figures, items, curves }) => ({
                figures,
                ...(items && { items }),
                ...(curves && { curves }),
              })),
              ...(await describe(first!)),
            };
          },
          { select },
        );
      },
    ),
  );
}
