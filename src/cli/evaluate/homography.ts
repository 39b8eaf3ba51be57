import { access } from 'node:fs/promises';
import { type Command, InvalidArgumentError, Option } from 'commander';
import { openImageSource } from '../../data/sources.js';
import { contentsText } from '../../evaluate/contentDigest.js';
import { homographyOutput, measureHomographies } from '../../evaluate/homography/homographyMeasures.js';
import type { PhotographSize } from '../../evaluate/homography/matchPair.js';
import { openPair, openPairsFolder, type PlanarPairs } from '../../evaluate/homography/planarPairs.js';
import { type PlanarView, pairsOfViews } from '../../evaluate/homography/planarViews.js';
import type { LocalSpace } from '../../evaluate/localSpace.js';
import { namesWithout } from '../../evaluate/namesWithout.js';
import { measureSubjects } from '../../evaluate/subjects/subject.js';
import { checkOutputFolder, makeFolder, writeOutput } from '../../files/output.js';
import type { MatchDistance } from '../../match/distance.js';
import { openNearestSession, searchNearest } from '../../match/tiled/search.js';
import { ConfigError } from '../../train/config.js';
import { parseResize } from '../imageFlags.js';
import { distanceOption } from '../matchFlags.js';
import { ofInput } from '../ofInput.js';
import { wholeNumber } from '../wholeNumber.js';
import { addEvaluationFlags, type EvaluationFlags, runEvaluation } from './evaluation.js';
import { fileNamePart, paddedNumber, picturesIn, subjectParts } from './pictures.js';
import { spaceOption } from './spaceOption.js';

interface HomographyFlags extends EvaluationFlags {
  readonly pairs?: string;
  readonly a?: string;
  readonly b?: string;
  readonly homography?: string;
  readonly images?: string;
  readonly views?: readonly PlanarView[];
  readonly resize: PhotographSize;
  readonly space: LocalSpace;
  readonly distance: MatchDistance;
  readonly seeds: number;
  readonly pictures?: string;
}

const MAX_VIEWS = 100;

/** Reads `3` (random perspectives) and `15x0.8` (degrees and scale), with commas between. */
export function parseViews(text: string): PlanarView[] {
  const views = text.split(',').flatMap((part): PlanarView[] => {
    if (/^\d+$/.test(part)) {
      return Array.from({ length: Math.min(Number(part), MAX_VIEWS + 1) }, () => ({ kind: 'perspective' }));
    }
    const [, degrees, scale] = /^(-?\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)$/.exec(part) ?? [];
    if (degrees === undefined || !(Number(scale) >= 0.1 && Number(scale) <= 10)) {
      throw new InvalidArgumentError(
        'It must be a number of random perspectives, or DEGREESxSCALE such as 15x0.8 (scale 0.1 to 10), or several with commas.',
      );
    }
    return [{ kind: 'rotation', degrees: Number(degrees), scale: Number(scale) }];
  });
  if (views.length >= 1 && views.length <= MAX_VIEWS) return views;
  throw new InvalidArgumentError(`It must give 1 to ${MAX_VIEWS} views.`);
}

const DEFAULT_VIEWS = parseViews('3');

/** Reads `native`, `shortest:480` or `fit:640x480`. */
export function parsePhotographSize(text: string): PhotographSize {
  const resize = parseResize(text);
  if (resize.kind !== 'shortestSide') return resize;
  const { resize: side, crop } = resize;
  if (side !== undefined && side >= 1 && crop === undefined) return { kind: 'shortest', side };
  throw new InvalidArgumentError(
    'It must be native, shortest:SIDE or fit:WIDTHxHEIGHT: photographs are matched whole.',
  );
}

/** The pairs of the flags. */
interface OpenedPairs {
  readonly pairs: PlanarPairs;
  /** As it was given. */
  readonly source: string;
  close(): Promise<void>;
}

/** @throws ConfigError unless the flags select one kind of pairs. */
function checkFlags({ pairs, a, b, homography, images, views }: HomographyFlags): void {
  const single = [a, b, homography].filter((path) => path !== undefined).length;
  if ([pairs !== undefined, single > 0, images !== undefined].filter(Boolean).length !== 1) {
    throw new ConfigError('choose the pairs by one of --pairs, --a with --b and --homography, or --images');
  }
  if (single % 3 !== 0) throw new ConfigError('--a, --b and --homography go together');
  if (views !== undefined && images === undefined) throw new ConfigError('--views requires --images');
}

/** @throws DataError, or InputError for a file that cannot be read. */
async function openPairs(flags: HomographyFlags, seed: number): Promise<OpenedPairs> {
  const { pairs: dir, a, b, homography, images, views = DEFAULT_VIEWS } = flags;
  if (images !== undefined) {
    const photographs = await openImageSource(images, { given: '--images' });
    return { pairs: pairsOfViews(photographs, views, seed), source: images, close: () => photographs.close() };
  }
  const close = async () => undefined;
  if (dir !== undefined) {
    return { pairs: await ofInput('--pairs', dir, () => openPairsFolder(dir)), source: dir, close };
  }
  for (const [flag, path] of [
    ['--a', a],
    ['--b', b],
  ] as const) {
    await ofInput(flag, path!, () => access(path!));
  }
  const pairs = await ofInput('--homography', homography!, () => openPair(a!, b!, homography!));
  return { pairs, source: `${a} ${b}`, close };
}

/** `vicregl evaluate homography`: homographies between whole photographs, from matches of their cells. */
export function registerEvaluateHomography(evaluate: Command): void {
  const command = evaluate
    .command('homography')
    .description(
      'Match the cells of two photographs of a plane as the service does, estimate the homography, and compare it with the true one ' +
        '(corner error, AUC); compared with random weights or other baselines.',
    )
    .option('--pairs <dir>', 'folder with photographs and a pairs.json of their homographies')
    .option('--a <file>', 'first photograph of a single pair')
    .option('--b <file>', 'second photograph of a single pair')
    .option(
      '--homography <file>',
      "homography from a to b: OpenCV's XML, YAML or JSON, or nine numbers; the centre of the first pixel is (0, 0)",
    )
    .option('--images <path>', 'photographs to be matched with views of themselves, whose homography is known')
    .option(
      '--views <list>',
      'views of each photograph: a number of random perspectives, or rotations by DEGREESxSCALE such as 15x1,30x0.8 (default: 3)',
      parseViews,
    )
    .addOption(
      new Option(
        '--resize <policy>',
        "network input of the whole photographs: native, shortest:SIDE (aspect kept) or fit:WxH; sides become multiples of the model's stride",
      )
        .argParser(parsePhotographSize)
        .default({ kind: 'native' } satisfies PhotographSize, 'native'),
    )
    .addOption(spaceOption())
    .addOption(distanceOption())
    .option('--seeds <count>', 'seeds of the estimator for each pair, from --seed on', wholeNumber(1, 1000), 5)
    .option('--pictures <dir>', 'draw the matches and outlines of every pair into this folder, for every subject');
  addEvaluationFlags(command, 'random views, estimator').action(async (flags: HomographyFlags) => {
    const { pictures, resize, space, distance, threads } = flags;
    checkFlags(flags);
    if (pictures !== undefined) await checkOutputFolder('--pictures', pictures);
    const drawn = pictures === undefined ? undefined : picturesIn(pictures);
    await runEvaluation(
      flags,
      () => ({}),
      async ({ sources, seed, cache, progress }) => {
        const { pairs, source: path, close } = await openPairs(flags, seed);
        const session = await openNearestSession(threads ?? 0);
        try {
          if (pictures !== undefined) await writeOutput('--pictures', pictures, () => makeFolder(pictures));
          const subjects = subjectParts(sources.map(({ name }) => name));
          const measures = await measureSubjects(
            sources,
            (subject, source) =>
              measureHomographies(subject, source, pairs, {
                size: resize,
                space,
                distance,
                seeds: Array.from({ length: flags.seeds }, (_, i) => seed + i),
                search: (pair, signal) => searchNearest(session, pair, signal),
                cache,
                progress,
                ...(drawn !== undefined && {
                  drawn: (item: number, view: number, name: string, png: Buffer) => {
                    const parts = [
                      paddedNumber(item, pairs.names.length),
                      ...(flags.images === undefined
                        ? []
                        : [paddedNumber(view, (flags.views ?? DEFAULT_VIEWS).length)]),
                      fileNamePart(name),
                      subjects[sources.indexOf(source)]!,
                    ];
                    return drawn.write(`${parts.join('-')}.png`, png);
                  },
                }),
              }),
            (source) => homographyOutput(source, { space, size: resize }),
          );
          const { skipped } = measures[0]!;
          const items = namesWithout(pairs.names, skipped);
          return {
            kind: 'homography' as const,
            protocol: `homographies of mutual nearest cells in ${space} space, estimated by RANSAC with ${flags.seeds} seeds, against true ones`,
            options: {
              resize: { ...resize },
              space,
              distance,
              seeds: flags.seeds,
              ...(flags.images !== undefined && {
                views: (flags.views ?? DEFAULT_VIEWS).map((view) => ({ ...view })),
              }),
            },
            items,
            measures: measures.map((own) => ({ figures: own.figures, items: namesWithout(pairs.names, own.skipped) })),
            data: [
              {
                role: 'images' as const,
                source: path,
                fingerprint: pairs.fingerprint,
                contents: contentsText(await pairs.contents()),
                images: (pairs.images / pairs.names.length) * items.length,
                skipped: skipped.map(({ name, reason }) => ({ name, reason })),
              },
            ],
            ...(items.length === 1 && { notes: ['one item alone: there are no intervals'] }),
          };
        } finally {
          await session.release();
          await close();
        }
      },
    );
    drawn?.finish();
  });
}
