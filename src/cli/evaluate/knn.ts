import type { Command } from 'commander';
import { DataError } from '../../data/dataError.js';
import { checkSizes, embeddedNames, embedSplit, usedOf } from '../../evaluate/classification/embedSplit.js';
import { knnAccuracy, requireNeighbours } from '../../evaluate/classification/knnAccuracy.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import { realNumber } from '../realNumber.js';
import { wholeNumber } from '../wholeNumber.js';
import { askedSizes } from './evaluatedModel.js';
import { addEvaluationFlags, type EvaluationFlags, runEvaluation } from './evaluation.js';
import { addLabelledFlags, type LabelledFlags, withLabelledData } from './labelledData.js';

interface KnnFlags extends EvaluationFlags, LabelledFlags {
  readonly k?: number;
  readonly temperature?: number;
}

/** `vicregl evaluate knn`: k-NN classification by a model's representations. */
export function registerEvaluateKnn(evaluate: Command): void {
  const command = evaluate
    .command('knn')
    .description(
      'Measure the k-NN accuracy on labelled images (cosine similarity of representations), compared with random weights or other baselines.',
    );
  addLabelledFlags(command)
    .option(
      '--k <count>',
      "number of neighbours that vote (default: that of the run's probe, or 20)",
      wholeNumber(1, Number.MAX_SAFE_INTEGER),
    )
    .option(
      '--temperature <number>',
      "the weight of a vote is exp(similarity / temperature) (default: that of the run's probe, or 0.07)",
      realNumber(0),
    );
  addEvaluationFlags(command, 'the image selection').action((flags: KnnFlags) =>
    runEvaluation(
      flags,
      () => ({}),
      (context) =>
        withLabelledData(flags, context, async ({ split, duplicates, describe }) => {
          const { evaluated, sources, cache, progress } = context;
          const { threads } = flags;
          // The settings of the run's own probe, so that both give the same result.
          const probe = evaluated.config?.probe?.knn;
          const [k, temperature] = [flags.k ?? probe?.k ?? 20, flags.temperature ?? probe?.temperature ?? 0.07];
          const sizes = askedSizes(flags, evaluated.sizes);
          const classes = split.classes.length;
          const trained = split.train.indices.length;
          if (k > trained) {
            throw new DataError(
              'bad_option',
              `--k is ${k}, and there are only ${trained} training images; use at most ${trained}, or more images`,
            );
          }
          const measures = await measureSubjects(
            sources,
            async (subject, source) => {
              const embedded = await embedSplit(subject, source, split, {
                ...sizes,
                cache,
                progress,
                checkTrain: (train) => requireNeighbours(train, k),
              });
              const settings = {
                k,
                temperature,
                classes,
                progress,
                ...(threads !== undefined && { session: { threads } }),
              };
              const items = embeddedNames(split.test, embedded.test);
              const used = { train: usedOf(embedded.train), test: usedOf(embedded.test) };
              return { used, items, ...(await knnAccuracy(source, embedded, settings)) };
            },
            (source) => checkSizes(source, sizes),
          );
          const { used, items } = measures[0]!;
          return {
            kind: 'knn' as const,
            protocol: `k-NN classification of representations by cosine similarity, k = ${k}, temperature ${temperature}`,
            options: {
              k,
              temperature,
              ...sizes,
              classes,
              duplicates: { count: duplicates.count, by: duplicates.by },
            },
            items,
            measures: measures.map(({ figures, items: own }) => ({ figures, items: own })),
            ...(await describe(used)),
          };
        }),
    ),
  );
}
