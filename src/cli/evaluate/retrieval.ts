import { type Command, Option } from 'commander';
import { DataError } from '../../data/dataError.js';
import { openImageSource } from '../../data/sources.js';
import {
  checkSizes,
  type EmbedSplitOptions,
  embeddedNames,
  embedLabelled,
  embedSplit,
  usedOf,
} from '../../evaluate/classification/embedSplit.js';
import { requireImages } from '../../evaluate/requireImages.js';
import type { SubjectMeasures } from '../../evaluate/result/buildResult.js';
import { answerable, rankings, retrievalFigures } from '../../evaluate/retrieval/retrieval.js';
import { measureSubjects, type Subject, type SubjectSource } from '../../evaluate/subjects/subject.js';
import type { EmbeddedImages } from '../../probe/embedImages.js';
import { allLabelled, type LabelledImages } from '../../probe/labelledImages.js';
import { ConfigError } from '../../train/config.js';
import { wholeNumber } from '../wholeNumber.js';
import { askedSizes } from './evaluatedModel.js';
import {
  addEvaluationFlags,
  type EvaluationContext,
  type EvaluationFlags,
  type EvaluationParts,
  resultData,
  runEvaluation,
} from './evaluation.js';
import { addLabelledFlags, type LabelledData, type LabelledFlags, withLabelledData } from './labelledData.js';

interface RetrievalFlags extends EvaluationFlags, Omit<LabelledFlags, 'train'> {
  readonly train?: string;
  readonly images?: string;
  readonly k?: readonly number[];
}

/** `vicregl evaluate retrieval`: search for images of the same class by a model's representations. */
export function registerEvaluateRetrieval(evaluate: Command): void {
  const command = evaluate
    .command('retrieval')
    .description(
      'Measure how well images of the same class are found by cosine similarity of representations (mean average precision, recall@k), compared with random weights or other baselines. Each test image is searched for among the training images, or each of --images among the others.',
    );
  const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);
  addLabelledFlags(command, { required: false })
    .option('--images <path>', 'labelled images, each of which is searched for among the others; instead of --train')
    .addOption(
      new Option(
        '--k <count>',
        'number of found images for recall@k; repeat it for several (default: 1, 5 and 10)',
      ).argParser((text: string, previous: readonly number[] = []) => [...previous, count(text)]),
    );
  addEvaluationFlags(command, 'the image selection').action((flags: RetrievalFlags) => {
    checkFlags(flags);
    const ks = [...new Set(flags.k ?? [1, 5, 10])].sort((a, b) => a - b);
    const { images, train } = flags;
    return runEvaluation(
      flags,
      () => ({}),
      (context) =>
        images !== undefined
          ? amongEachOther(images, flags, context, ks)
          : fromTest({ ...flags, train: train! }, context, ks),
    );
  });
}

/** @throws ConfigError for flags that are missing or cannot be combined. */
function checkFlags({ images, train, test, trainImages }: RetrievalFlags): void {
  if (images === undefined) {
    if (train === undefined) {
      throw new ConfigError('give --train (and --test) to search for test images among training images, or --images');
    }
    return;
  }
  for (const [flag, value] of Object.entries({ '--train': train, '--test': test, '--train-images': trainImages })) {
    if (value !== undefined) {
      throw new ConfigError(`use --images or ${flag}, not both: --images are searched for among each other`);
    }
  }
}

/** What one subject found. */
interface Found extends SubjectMeasures {
  /** Names of the queries whose gallery has an image of their class. */
  readonly items: readonly string[];
  /** Queries without one. */
  readonly unanswerable: number;
}

async function search(
  source: SubjectSource,
  queries: { readonly images: LabelledImages; readonly embedded: EmbeddedImages },
  gallery: EmbeddedImages | undefined,
  {
    flags: { threads },
    progress,
    ks,
  }: { flags: RetrievalFlags; ks: readonly number[] } & Pick<EvaluationContext, 'progress'>,
): Promise<Found> {
  const { embedded, images } = queries;
  requireImages(embedded.labels.length, embedded.skipped);
  if (gallery?.labels.length === 0) requireImages(0, gallery.skipped);
  progress.begin(`${source.name}, searching`, embedded.labels.length, 'images');
  const found = await rankings(embedded, gallery, {
    inPlace: true,
    progress,
    session: { spinning: false, ...(threads !== undefined && { threads }) },
  });
  const places = answerable(found);
  if (places.length < 2) {
    throw new DataError(
      'no_labels',
      `${places.length === 0 ? 'no image' : 'one image alone'} has another of its class to be found, such as for ${embeddedNames(images, embedded)[0]}; give several images of each class`,
    );
  }
  const names = embeddedNames(images, embedded);
  return {
    figures: retrievalFigures(
      places.map((place) => found[place]!),
      ks,
    ),
    items: places.map((place) => names[place]!),
    unanswerable: found.length - places.length,
  };
}

/** The parts of a result that both forms share. */
function partsOf(
  measures: readonly Found[],
  ks: readonly number[],
  options: EvaluationParts['options'],
  protocol: string,
): Omit<EvaluationParts, 'data'> {
  const { items, unanswerable } = measures[0]!;
  const note = `${unanswerable} images have no other of their class to be found, and are left out`;
  return {
    kind: 'retrieval',
    protocol: `retrieval by cosine similarity of representations, ${protocol}`,
    options: { ...options, k: [...ks], unanswerable },
    items,
    measures: measures.map(({ figures, items: own }) => ({ figures, items: own })),
    ...(unanswerable > 0 && { notes: [note] }),
  };
}

async function fromTest(
  flags: RetrievalFlags & LabelledFlags,
  context: EvaluationContext,
  ks: readonly number[],
): Promise<EvaluationParts> {
  const measured = async ({ split, duplicates, describe }: LabelledData): Promise<EvaluationParts> => {
    const { evaluated, sources, cache, progress } = context;
    const sizes = askedSizes(flags, evaluated.sizes);
    const measures = await measureSubjects(
      sources,
      async (subject, source) => {
        const embedded = await embedSplit(subject, source, split, { ...sizes, cache, progress });
        const queries = { images: split.test, embedded: embedded.test };
        const used = { train: usedOf(embedded.train), test: usedOf(embedded.test) };
        return { used, ...(await search(source, queries, embedded.train, { flags, progress, ks })) };
      },
      (source) => checkSizes(source, sizes),
    );
    const { data, notes } = await describe(measures[0]!.used);
    const { count, by } = duplicates;
    const options = { ...sizes, classes: split.classes.length, duplicates: { count, by } };
    const parts = partsOf(measures, ks, options, 'test images among training images');
    return { ...parts, data, notes: [...notes, ...(parts.notes ?? [])] };
  };
  // A query of a class that the gallery lacks is left out and counted.
  return withLabelledData(flags, context, measured, { newClasses: true });
}

async function amongEachOther(
  path: string,
  flags: RetrievalFlags,
  { evaluated, sources, cache, progress, seed }: EvaluationContext,
  ks: readonly number[],
): Promise<EvaluationParts> {
  const opened = await openImageSource(path, { labels: 'auto', given: '--images' });
  try {
    const images = allLabelled(opened, { max: flags.testImages ?? Number.MAX_SAFE_INTEGER, seed });
    const sizes = askedSizes(flags, evaluated.sizes);
    const options: EmbedSplitOptions = { ...sizes, cache, progress };
    const measures = await measureSubjects(
      sources,
      async (subject: Subject, source) => {
        progress.begin(`${source.name}, embedding`, images.indices.length, 'images');
        const embedded = await embedLabelled(subject, source, images, options);
        const found = await search(source, { images, embedded }, undefined, { flags, progress, ks });
        return { used: usedOf(embedded), ...found };
      },
      (source) => checkSizes(source, sizes),
    );
    const { labels, skipped } = measures[0]!.used;
    const { indices } = images;
    return {
      ...partsOf(measures, ks, { ...sizes, classes: opened.labelled!.classes.length }, 'each image among the others'),
      data: [await resultData({ role: 'images', path, source: opened, indices, images: labels.length, skipped })],
    };
  } finally {
    await opened.close();
  }
}
