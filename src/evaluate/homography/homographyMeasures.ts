import { DataError } from '../../data/dataError.js';
import type { SkippedImage } from '../../data/sample.js';
import { ImageError } from '../../image/imageError.js';
import { planInput } from '../../image/resize.js';
import type { MatchDistance } from '../../match/distance.js';
import type { NearestSearch } from '../../match/nearest.js';
import { pipelined } from '../../probe/pipelined.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { median } from '../../tensor/median.js';
import { cachedMaps } from '../cachedMaps.js';
import { type FeatureCache, featureCache } from '../featureCache.js';
import { type LocalSpace, outputOfSpace } from '../localSpace.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import { type MeasuredFigure, meanFigure } from '../result/figures.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import { errorAuc } from './errorAuc.js';
import { correctShare, estimate, matchPair, type PhotographSize } from './matchPair.js';
import { pairPicture } from './pairPicture.js';
import type { PlanarPair, PlanarPairs } from './planarPairs.js';

/** Corner errors in pixels below which a homography counts as found, as in the evaluations on HPatches. */
const THRESHOLDS = [3, 5, 10] as const;

export interface HomographyOptions {
  readonly size: PhotographSize;
  readonly space: LocalSpace;
  /** Distance by which cells are matched. Default `l2`. */
  readonly distance?: MatchDistance;
  /** Seeds of the estimator; every pair is estimated with each of them. */
  readonly seeds: readonly number[];
  readonly search: NearestSearch;
  readonly cache?: FeatureCache;
  readonly progress?: WorkProgress;
  /** Receives a picture of every pair, by the number of its item, its own number in it, and its name, for the first seed. */
  readonly drawn?: (item: number, number: number, name: string, png: Buffer) => Promise<void>;
}

/** What was measured of one item: an entry for each of its pairs and seeds. */
interface Outcomes {
  /** In pixels of b; infinity where no homography was found. */
  readonly cornerErrors: readonly number[];
  /** The same, at most the diagonal of b: larger errors say no more than that nothing was found. */
  readonly boundedErrors: readonly number[];
  readonly inliers: readonly number[];
  readonly matches: readonly number[];
  readonly correct: readonly number[];
}

export interface MeasuredHomographies extends SubjectMeasures {
  /** Items whose pictures cannot be decoded and that are left out. */
  readonly skipped: readonly SkippedImage[];
}

type Loaded = { readonly pairs: Iterable<PlanarPair> } | { readonly reason: string };

const mean = (values: readonly number[]): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/**
 * The figures: `found_3px`, `found_5px`, `found_10px` (share of pairs whose corner error is below that), `auc_3px`, `auc_5px`,
 * `auc_10px` (see errorAuc), `corner_error` (median over pairs of the median over seeds, at most the diagonal of b), `correct`, `matches` and `inliers` (means over pairs).
 */
function figuresOf(items: readonly Outcomes[]): MeasuredFigure[] {
  const share = { unit: 'share', better: 'higher' } as const;
  const count = { unit: 'number', better: 'higher' } as const;
  const found = THRESHOLDS.map((pixels) =>
    meanFigure(
      { name: `found_${pixels}px`, label: `homographies within ${pixels} px`, ...share },
      items.map(({ cornerErrors }) => mean(cornerErrors.map((error) => Number(error < pixels)))),
    ),
  );
  const auc = THRESHOLDS.map(
    (pixels): MeasuredFigure => ({
      name: `auc_${pixels}px`,
      label: `AUC of the corner error at ${pixels} px`,
      ...share,
      over: (indices) =>
        errorAuc(
          Array.from(indices).flatMap((item) => items[item]!.cornerErrors),
          pixels,
        ),
    }),
  );
  const errors = items.map(({ boundedErrors }) => median(boundedErrors));
  const cornerErrorFigure: MeasuredFigure = {
    name: 'corner_error',
    label: 'median corner error',
    unit: 'pixels',
    better: 'lower',
    over: (indices) => median(Array.from(indices, (item) => errors[item]!)),
    perItem: errors,
  };
  const means = (
    [
      ['correct', 'matches that agree with the true homography', share],
      ['matches', 'mutual matches', count],
      ['inliers', 'matches that agree with the estimate', count],
    ] as const
  ).map(([name, label, about]) =>
    meanFigure(
      { name, label, ...about },
      items.map((item) => mean(item[name])),
    ),
  );
  return [...found, ...auc, cornerErrorFigure, ...means];
}

/**
 * Checks that homographies can be estimated from a subject's features, and finds the output with its vectors.
 * @throws ParameterError for the projector's space of a model without a local projector, ImageError for a size that is not a
 *   multiple of the subject's stride.
 */
export function homographyOutput(
  source: Pick<SubjectSource, 'model' | 'outputs' | 'stride'>,
  { space, size }: Pick<HomographyOptions, 'space' | 'size'>,
): { readonly output: ReturnType<typeof outputOfSpace>; readonly stride: number } {
  const output = outputOfSpace(source, space);
  const stride = source.outputs.get(output)!.stride ?? source.stride;
  if (size.kind === 'fit') planInput(size, size, stride);
  return { output, stride };
}

/**
 * Matches the photographs of all pairs by a subject's features, estimates their homographies, and compares these with the true
 * ones. A pair without enough matches counts as not found. Pairs whose pictures cannot be decoded are left out.
 * @throws what homographyOutput throws; DataError for a picture that does not fit its homography, for one that is too large as
 *   network input, or if no pair is left.
 */
export async function measureHomographies(
  subject: Subject,
  source: SubjectSource,
  pairs: PlanarPairs,
  options: HomographyOptions,
): Promise<MeasuredHomographies> {
  const {
    size,
    seeds,
    search,
    drawn,
    distance = 'l2',
    cache = featureCache(undefined),
    progress = silentProgress,
  } = options;
  const { output, stride } = homographyOutput(source, options);
  progress.begin(source.name, pairs.names.length, 'pairs');

  const load = async (item: number): Promise<Loaded> => {
    try {
      return { pairs: await pairs.load(item) };
    } catch (error) {
      if (error instanceof ImageError) return { reason: error.message };
      throw error;
    }
  };
  const measure = async (loaded: Loaded, item: number): Promise<Outcomes | { readonly reason: string }> => {
    if ('reason' in loaded) return loaded;
    const perPair: Outcomes[] = [];
    for (const pair of loaded.pairs) {
      const extract = (batch: Parameters<Subject['run']>[0]) => cachedMaps(cache, subject, source, batch, output);
      const matched = await matchPair(pair, { size, stride, distance }, extract, search).catch((cause: unknown) => {
        if (!(cause instanceof ImageError)) throw cause;
        throw new DataError('bad_option', `${pair.name}: ${cause.message} (--resize)`, { cause });
      });
      const estimates = seeds.map((seed) => estimate(matched, pair, seed));
      perPair.push({
        cornerErrors: estimates.map((each) => each.cornerError),
        boundedErrors: estimates.map((each) => Math.min(each.cornerError, Math.hypot(pair.b.width, pair.b.height))),
        inliers: estimates.map(({ inliers }) => inliers.length),
        matches: [matched.matches.length],
        correct: [correctShare(matched, pair.aToB)],
      });
      await drawn?.(item, perPair.length - 1, pair.name, await pairPicture(pair, matched, estimates[0]!));
    }
    return {
      cornerErrors: perPair.flatMap(({ cornerErrors }) => cornerErrors),
      boundedErrors: perPair.flatMap(({ boundedErrors }) => boundedErrors),
      inliers: perPair.flatMap(({ inliers }) => inliers),
      matches: perPair.flatMap(({ matches }) => matches),
      correct: perPair.flatMap(({ correct }) => correct),
    };
  };

  const items: Outcomes[] = [];
  const skipped: SkippedImage[] = [];
  for await (const outcomes of pipelined(pairs.names.length, load, measure, { runs: subject.runs })) {
    const index = items.length + skipped.length;
    progress.advance();
    if ('reason' in outcomes) skipped.push({ index, name: pairs.names[index]!, reason: outcomes.reason });
    else items.push(outcomes);
  }
  if (items.length === 0) {
    const { name, reason } = skipped[0]!;
    throw new DataError(
      'undecodable',
      `no pair can be evaluated; ${skipped.length} cannot be decoded, such as ${name}: ${reason}`,
    );
  }
  return { figures: figuresOf(items), skipped };
}
