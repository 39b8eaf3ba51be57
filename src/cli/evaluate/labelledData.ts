import { type Command, Option } from 'commander';
import { openImageSource } from '../../data/sources.js';
import type { EmbeddedSplit } from '../../evaluate/classification/embedSplit.js';
import type { ResultData } from '../../evaluate/result/schema.js';
import { type Duplicates, findDuplicates } from '../../probe/duplicates.js';
import type { EmbeddedImages } from '../../probe/embedImages.js';
import { type LabelledSplit, splitLabelled } from '../../probe/labelledImages.js';
import { wholeNumber } from '../wholeNumber.js';
import { type EvaluationContext, resultData } from './evaluation.js';

/** Flags that select labelled training and test images. */
export interface LabelledFlags {
  readonly train: string;
  readonly test?: string;
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly resize?: number;
  readonly crop?: number;
}

const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);

/**
 * Adds --train, --test, --train-images, --test-images, --crop and --resize.
 * @param required whether the command needs --train. Default true.
 */
export function addLabelledFlags(command: Command, { required = true } = {}): Command {
  const train = 'labelled images: one folder per class, an archive of those, a list or shards';
  return command
    .addOption(new Option('--train <path>', train).makeOptionMandatory(required))
    .option('--test <path>', 'labelled images to be tested on (default: a fifth of --train is held out)')
    .option('--train-images <count>', 'maximum number of training images (default: all)', count)
    .option('--test-images <count>', 'maximum number of test images (default: all)', count)
    .option('--crop <pixels>', "side of the network's input (default: that of the model, or of the run's probe)", count)
    .option(
      '--resize <pixels>',
      'length of the shortest side before the central crop (default: that of the model, or 256/224 of the crop)',
      count,
    );
}

/** The images of both halves that an evaluation used, and those that it skipped. */
export type UsedImages = Readonly<Record<keyof EmbeddedSplit, Pick<EmbeddedImages, 'labels' | 'skipped'>>>;

/** Labelled images of an evaluation. */
export interface LabelledData {
  readonly split: LabelledSplit;
  readonly duplicates: Duplicates;
  /** How they stand in the result. @param used by any subject: which images are skipped does not depend on it. */
  describe(used: UsedImages): Promise<{ readonly data: ResultData[]; readonly notes: string[] }>;
}

/**
 * Opens the images for the time of an evaluation, and warns of test images that are trained on.
 * @param options.select keeps a part of the images.
 * @param options.newClasses see `SplitOptions`.
 * @throws DataError for a source without labels or images, or a test class without training images.
 */
export async function withLabelledData<T>(
  flags: LabelledFlags,
  { seed, progress, log }: EvaluationContext,
  use: (data: LabelledData) => Promise<T>,
  {
    select = (split) => split,
    newClasses = false,
  }: { readonly select?: (split: LabelledSplit) => LabelledSplit; readonly newClasses?: boolean } = {},
): Promise<T> {
  const { trainImages = Number.MAX_SAFE_INTEGER, testImages = Number.MAX_SAFE_INTEGER } = flags;
  const train = await openImageSource(flags.train, { labels: 'auto', given: '--train' });
  const test =
    flags.test === undefined ? undefined : await openImageSource(flags.test, { labels: 'auto', given: '--test' });
  try {
    const split = select(splitLabelled(train, test, { trainImages, testImages, seed, newClasses }));
    const duplicates = await findDuplicates(split, { progress });
    const notes = duplicates.count > 0 ? [duplicatesText(duplicates, split.test.indices.length)] : [];
    for (const note of notes) log(note);
    return await use({
      split,
      duplicates,
      describe: async (used) => {
        const dataOf = (role: 'train' | 'test', path: string) => {
          const { source, indices } = split[role];
          const { labels, skipped } = used[role];
          return resultData({ role, path, source, indices, images: labels.length, skipped });
        };
        return { data: [await dataOf('train', flags.train), await dataOf('test', flags.test ?? flags.train)], notes };
      },
    });
  } finally {
    await train.close();
    await test?.close();
  }
}

function duplicatesText({ count: found, by, example }: Duplicates, tested: number): string {
  const how = by === 'content' ? 'same content' : 'same files';
  return (
    `warning: ${found} of ${tested} test images are also training images (${how}), such as ${example!.test}` +
    `${example!.test === example!.train ? '' : ` = ${example!.train}`}: they are their own nearest neighbours, so the accuracy is too high`
  );
}
