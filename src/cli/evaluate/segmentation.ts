import { extname } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { DataError } from '../../data/dataError.js';
import { contentsText } from '../../evaluate/contentDigest.js';
import type { ResultData } from '../../evaluate/result/schema.js';
import { LAYOUTS, type Layout } from '../../evaluate/segmentation/layouts.js';
import { type MeasuredSegmentation, measureSegmentation } from '../../evaluate/segmentation/measureSegmentation.js';
import { comparisonPicture } from '../../evaluate/segmentation/pictures.js';
import {
  type HeadSchedule,
  headMaps,
  protocolOf,
  SCHEDULE_DEFAULTS,
  scheduleKeys,
} from '../../evaluate/segmentation/protocol.js';
import {
  type CheckedPair,
  openSegmentationData,
  segmentationContents,
  segmentationFingerprint,
} from '../../evaluate/segmentation/segmentationData.js';
import { windowOptions } from '../../evaluate/segmentation/windows.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import { weightsDigest } from '../../evaluate/subjects/weightsDigest.js';
import { checkOutputFolder, makeFolder, writeOutput } from '../../files/output.js';
import { requireFreeHeadPlace, writeSegmentationHead } from '../../heads/segmentationFolder.js';
import { backboneOfManifest } from '../../models/architecture.js';
import { realNumber } from '../realNumber.js';
import { wholeNumber } from '../wholeNumber.js';
import { addEvaluationFlags, type EvaluationFlags, runEvaluation } from './evaluation.js';
import { fileNamePart, paddedNumber, picturesIn } from './pictures.js';

interface SegmentationFlags extends EvaluationFlags {
  readonly data: string;
  readonly layout: Layout | 'auto';
  readonly test?: string;
  readonly trainSplit?: string;
  readonly testSplit?: string;
  readonly trainImages?: number;
  readonly testImages?: number;
  readonly steps: number;
  readonly batch: number;
  readonly crop: number;
  readonly lr?: number;
  readonly endLr: number;
  readonly decayPower: number;
  readonly warmup: number;
  readonly weightDecay?: number;
  readonly resize: SegmentationSize;
  readonly window: number;
  readonly windowStep?: number;
  readonly flip: boolean;
  readonly randomScale?: readonly [number, number];
  readonly pictures?: string;
  readonly outHead?: string;
}

const count = wholeNumber(1, Number.MAX_SAFE_INTEGER);

/** Largest factor of `--random-scale`: the pixels of a rescaled photograph grow with its square. */
const MAX_SCALE = 8;

/** Parses the least and the largest factor of `--random-scale`. */
function factors(text: string): readonly [number, number] {
  const [low = 0, high = 0, ...more] = text.split(',').map((part) => (part.trim() === '' ? Number.NaN : Number(part)));
  if (more.length === 0 && low > 0 && low <= high && high <= MAX_SCALE) return [low, high];
  throw new InvalidArgumentError(
    `It must be two factors above 0 and at most ${MAX_SCALE}, the smaller one first, such as 0.5,2.`,
  );
}

/** The shorter side of photographs in pixels; absent: their own size. */
interface SegmentationSize {
  readonly shortest?: number;
}

/** Reads `native` or `shortest:512`. */
function parseSegmentationSize(text: string): SegmentationSize {
  if (text === 'native') return {};
  const [, side] = /^shortest:([1-9]\d{0,5})$/.exec(text) ?? [];
  if (side !== undefined) return { shortest: Number(side) };
  throw new InvalidArgumentError('It must be native or shortest:SIDE, in pixels: photographs keep their aspect.');
}

/** Pixels of the crops of a step: more are far from what memory holds. */
const MAX_BATCH_PIXELS = 100_000_000;

/** @throws DataError `bad_option` for a crop that does not fit the maps or the windows, or a batch that is too large for any memory. */
function checkSizes(
  { batch, crop, window, randomScale }: Pick<SegmentationFlags, 'batch' | 'crop' | 'window' | 'randomScale'>,
  stride: number,
): void {
  if (batch * crop ** 2 > MAX_BATCH_PIXELS) {
    const most = Math.floor(MAX_BATCH_PIXELS / crop ** 2);
    throw new DataError(
      'bad_option',
      `--batch is ${batch}, and --crop ${crop}: a step takes at most ${MAX_BATCH_PIXELS / 1e6} megapixels; use ${most > 0 ? `a batch of at most ${most}, or ` : ''}smaller crops`,
    );
  }
  if (crop % stride !== 0) {
    const below = Math.floor(crop / stride) * stride;
    throw new DataError(
      'bad_option',
      `--crop is ${crop}, not a multiple of the model's stride ${stride}; use ${below > 0 ? `${below} or ` : ''}${below + stride}`,
    );
  }
  if (randomScale === undefined && crop > window + stride - 1) {
    throw new DataError(
      'bad_option',
      `--crop is ${crop}, larger than --window ${window}: crops are taken from the maps of windows; use at most ${Math.floor(window / stride) * stride}, or --random-scale`,
    );
  }
}

/** @throws DataError `bad_option` for a schedule that does not go down. */
function checkSchedule({ steps, learningRate, warmupSteps, endLearningRate }: HeadSchedule): void {
  if (warmupSteps >= steps) {
    throw new DataError('bad_option', `--warmup is ${warmupSteps}, and --steps ${steps}: it must be fewer`);
  }
  if (endLearningRate > learningRate) {
    throw new DataError(
      'bad_option',
      `--end-lr is ${endLearningRate}, above the learning rate ${learningRate} from which it decays; use a smaller one`,
    );
  }
}

function scheduleText({ learningRate, decayPower, warmupSteps, endLearningRate }: HeadSchedule): string {
  const to = endLearningRate > 0 ? ` to ${endLearningRate}` : '';
  const after = warmupSteps > 0 ? ` after ${warmupSteps} steps of warm-up` : '';
  return `learning rate ${learningRate} with polynomial decay ${decayPower}${to}${after}`;
}

/** Name of a picture: the number of the test image, since others may have the same name once / is replaced, and its name. */
const pictureName = ({ name }: CheckedPair, index: number, count: number): string =>
  `${paddedNumber(index, count)}-${fileNamePart(name.slice(0, name.length - extname(name).length))}.png`;

/** `vicregl evaluate segmentation`: linear segmentation by a model's frozen maps. */
export function registerEvaluateSegmentation(evaluate: Command): void {
  const command = evaluate
    .command('segmentation')
    .description(
      "Train a linear segmentation head on a model's frozen maps and measure its mIoU, compared with random weights or other baselines.",
    )
    .requiredOption(
      '--data <dir>',
      'images and masks: a folder with images/ and masks/, or VOC2012, Cityscapes, ADE20K or CamVid as published',
    )
    .addOption(
      new Option('--layout <name>', 'layout of --data; auto recognises it by its folders')
        .choices(['auto', ...LAYOUTS])
        .default('auto'),
    )
    .option(
      '--test <dir>',
      'folder with images/ and masks/ to test on (default for plain folders: one of five images, by a hash of the name)',
    )
    .option(
      '--train-split <name>',
      'part of the data set to train on (default: train, trainaug or training, as published)',
    )
    .option('--test-split <name>', 'part of the data set to test on (default: val or validation; test for CamVid)')
    .option('--train-images <count>', 'maximum number of training images (default: all)', count)
    .option('--test-images <count>', 'maximum number of test images (default: all)', count)
    .option('--steps <count>', 'training steps of the head', count, 1500)
    .option('--batch <count>', 'crops of a training step', count, 8)
    .option('--crop <pixels>', 'side of the crops, a multiple of the stride of the model', count, 256)
    .option(
      '--lr <number>',
      'learning rate of the first step (default: 0.001 with AdamW for a ConvNeXt, 0.01 with SGD for a ResNet)',
      realNumber(0),
    )
    .option(
      '--end-lr <number>',
      'learning rate at which the decay ends',
      realNumber(0, { inclusive: true }),
      SCHEDULE_DEFAULTS.endLearningRate,
    )
    .option(
      '--decay-power <number>',
      "exponent of the learning rate's polynomial decay",
      realNumber(0, { inclusive: true }),
      SCHEDULE_DEFAULTS.decayPower,
    )
    .option(
      '--warmup <steps>',
      'steps in which the learning rate rises',
      wholeNumber(0, Number.MAX_SAFE_INTEGER),
      SCHEDULE_DEFAULTS.warmupSteps,
    )
    .option(
      '--weight-decay <number>',
      'weight decay (default: 0.01 of the kernel for a ConvNeXt, 5e-4 for a ResNet)',
      realNumber(0, { inclusive: true }),
    )
    .addOption(
      new Option(
        '--resize <policy>',
        'size at which the network sees photographs, in training and test: native, or shortest:SIDE (aspect kept), such as shortest:512 in the paper; --random-scale is relative to it',
      )
        .argParser(parseSegmentationSize)
        .default({} satisfies SegmentationSize, 'native'),
    )
    .option(
      '--window <pixels>',
      'photographs with a longer side are cut into overlapping windows of this side',
      count,
      512,
    )
    .option('--window-step <pixels>', 'distance of neighbouring windows (default: two thirds of --window)', count)
    .option('--no-flip', 'train without mirrored images')
    .option(
      '--random-scale <low,high>',
      'rescale every training photograph by a random factor, such as 0.5,2 in the paper, and run the network on each crop',
      factors,
    )
    .option('--pictures <dir>', 'write photograph, truth and prediction of every test image side by side, as PNG files')
    .option('--out-head <dir>', 'write the trained head, for vicregl segment');
  addEvaluationFlags(command, "the image selection, the head's training").action(async (flags: SegmentationFlags) => {
    const { pictures, outHead } = flags;
    if (outHead !== undefined) await requireFreeHeadPlace('--out-head', outHead);
    if (pictures !== undefined) await checkOutputFolder('--pictures', pictures);
    const drawn = pictures === undefined ? undefined : picturesIn(pictures);
    // After the result is printed and written, so that a full disk does not lose it.
    let keepHead = async (): Promise<void> => undefined;
    await runEvaluation(
      flags,
      ({ folder }) => protocolOf(backboneOfManifest(folder.manifest)).needs,
      async ({ evaluated, sources, seed, progress, log, scratch }) => {
        const { folder } = evaluated;
        const { steps, batch, crop, flip, threads, randomScale: scale, weightDecay } = flags;
        const { shortest } = flags.resize;
        const protocol = protocolOf(backboneOfManifest(folder.manifest), { weightDecay });
        const window = { ...windowOptions(flags.window, flags.windowStep) };
        const schedule: HeadSchedule = {
          steps,
          learningRate: flags.lr ?? protocol.learningRate,
          decayPower: flags.decayPower,
          warmupSteps: flags.warmup,
          endLearningRate: flags.endLr,
        };
        checkSchedule(schedule);
        const settings = { ...schedule, batch, crop, window, flip, ...(shortest !== undefined && { shortest }) };
        const data = await openSegmentationData(flags.data, { ...flags, seed, progress });
        for (const note of data.notes) log(note);
        if (pictures !== undefined) await writeOutput('--pictures', pictures, () => makeFolder(pictures));

        const places = new Map(data.test.map((pair, i) => [pair, i]));
        let inputStride = 0;
        const measures = await measureSubjects(
          sources,
          (subject, source): Promise<MeasuredSegmentation> => {
            const first = source === sources[0];
            if (first) inputStride = subject.stride;
            return measureSegmentation(subject, source, data, {
              ...settings,
              ...(scale && { scale }),
              protocol,
              seed,
              session: { ...(threads !== undefined && { threads }) },
              cacheDir: flags.cache,
              ...(first && { later: sources.slice(1) }),
              scratch,
              progress,
              ...(first &&
                drawn !== undefined && {
                  async onPrediction(pair, photograph, predicted) {
                    const { data: truth } = await data.labels(pair);
                    const picture = await comparisonPicture(photograph, truth, predicted, data.classes);
                    await drawn.write(pictureName(pair, places.get(pair)!, data.test.length), picture);
                  },
                }),
            });
          },
          (source) => {
            checkSizes(flags, source.stride);
            headMaps(protocol, source);
          },
        );
        const seen = [
          ...(shortest === undefined ? [] : [`resized to a shorter side of ${shortest} px`]),
          ...(scale ? [`rescaled by ${scale[0]} to ${scale[1]}`] : []),
        ];
        const photographs = seen.length === 0 ? '' : ` of photographs ${seen.join(', ')}`;
        const text = `${protocol.text}; ${protocol.optimizerName}, ${steps} steps of ${batch} crops of ${crop} px${photographs}, ${scheduleText(schedule)}`;
        const [trained] = measures;
        if (outHead !== undefined) {
          const all = Uint32Array.from(data.test.keys());
          const { name, version } = folder.manifest;
          const digest = await weightsDigest(folder);
          keepHead = () =>
            writeSegmentationHead(
              '--out-head',
              outHead,
              {
                created: new Date().toISOString(),
                classes: data.classes.map((each) => ({ name: each.name, colour: [...each.colour] })),
                protocol: text,
                maps: [...trained!.maps],
                stride: trained!.maps[0]!.stride,
                inputStride,
                window,
                ...(shortest !== undefined && { shortest }),
                ...(protocol.needs.outputStride !== undefined && { outputStride: protocol.needs.outputStride }),
                model: { name, version, digest },
                scores: Object.fromEntries(
                  trained!.figures.map(({ name: figure, over }) => {
                    const value = over(all);
                    return [figure, Number.isFinite(value) ? value : null];
                  }),
                ),
              },
              trained!.head,
            );
        }
        const dataOf = (role: ResultData['role'], source: string, pairs: readonly CheckedPair[]): ResultData => ({
          role,
          source,
          fingerprint: segmentationFingerprint(pairs),
          contents: contentsText(segmentationContents(pairs)),
          images: pairs.length,
          skipped: [],
        });
        return {
          kind: 'segmentation' as const,
          protocol: text,
          options: {
            layout: data.layout,
            split: data.split,
            classes: data.classes.length,
            ...scheduleKeys(schedule),
            ...{ batch, crop, window, flip },
            ...(shortest !== undefined && { shortest }),
            ...(weightDecay !== undefined && { weightDecay }),
            ...(scale && { scale: [...scale] }),
          },
          items: data.test.map(({ name }) => name),
          measures: measures.map(({ figures, classes }) => ({ figures, ...(classes && { classes }) })),
          data: [dataOf('train', flags.data, data.train), dataOf('test', flags.test ?? flags.data, data.test)],
          notes: [...data.notes],
        };
      },
    );
    await keepHead();
    drawn?.finish();
  });
}
