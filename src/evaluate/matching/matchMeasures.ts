import type { ImageSource } from '../../data/sources.js';
import { planInput } from '../../image/resize.js';
import { silentProgress } from '../../progress/work.js';
import { bootstrapInterval } from '../bootstrap.js';
import { cachedMaps } from '../cachedMaps.js';
import { type FeatureCache, featureCache } from '../featureCache.js';
import { type LocalSpace, outputOfSpace } from '../localSpace.js';
import type { SubjectMeasures } from '../result/buildResult.js';
import { meanFigure } from '../result/figures.js';
import type { ResultCurve } from '../result/schema.js';
import type { Subject, SubjectSource } from '../subjects/subject.js';
import { type MatchMeasure, type MatchQuality, type MatchQualityOptions, matchQuality } from './matchQuality.js';

/** Number of best matches of the main figures: the paper's gamma of large maps. */
const MAIN_GAMMA = 20;

const LABELS: Readonly<Record<MatchMeasure, string>> = {
  share: 'matches within one cell',
  visible: 'matches whose true position is visible',
  within_1px: 'matches within 1 px (refined)',
  within_3px: 'matches within 3 px (refined)',
  within_5px: 'matches within 5 px (refined)',
};
const MEASURES = Object.keys(LABELS) as MatchMeasure[];

export interface MeasureMatchesOptions extends MatchQualityOptions {
  readonly size: number;
  /** Default `projector`. */
  readonly space?: LocalSpace;
  readonly cache?: FeatureCache;
}

/** Match quality of a subject, and the figures and curves of it. */
export interface MeasuredMatches extends SubjectMeasures {
  readonly quality: MatchQuality;
}

/** Best matches of the main figures on a map: all of its cells where they are fewer. */
export function mainGamma(cells: number): number {
  return Math.min(MAIN_GAMMA, cells);
}

/**
 * The figures are `share`, `within_1px`, `within_3px`, `within_5px` and `visible` of the 20 best matches, and the share of the
 * best 1, 2, 5, 10, 50 (`share_top_1`, ...) and of all matches (`share_all`). Numbers that a small map does not have are absent.
 */
function figuresOf({ measures, gammas, grid }: MatchQuality) {
  const cells = grid.rows * grid.columns;
  const main = gammas.indexOf(mainGamma(cells));
  const about = { unit: 'share', better: 'higher' } as const;
  const byGamma = gammas.flatMap((gamma, g) => {
    const [name, label] = gamma === cells ? ['share_all', 'all'] : [`share_top_${gamma}`, `best ${gamma}`];
    if (gamma === MAIN_GAMMA && gamma !== cells) return [];
    return [meanFigure({ name, label: `matches within one cell, ${label}`, ...about }, measures.share[g]!)];
  });
  const mains = MEASURES.map((name) => meanFigure({ name, label: LABELS[name], ...about }, measures[name][main]!));
  return [...mains, ...byGamma];
}

/** Every measure against the number of best matches. */
function curvesOf({ measures, gammas }: MatchQuality, seed: number): ResultCurve[] {
  return MEASURES.map((name) => ({
    name: `${name}_by_gamma`,
    label: LABELS[name],
    x: { label: 'best matches of each pair (gamma)', values: [...gammas] },
    y: {
      label: 'share of the matches',
      unit: 'share',
      values: measures[name].map((values) => values.reduce((sum, value) => sum + value, 0) / values.length),
      intervals: measures[name].map((values) => bootstrapInterval(values, { seed })),
    },
  }));
}

/**
 * Checks that matches of a subject can be measured, and finds the output with its vectors.
 * @throws ParameterError for the projector's space of a model without a local projector, ImageError for a size that is not a
 *   multiple of the subject's stride.
 */
export function matchedOutput(
  subject: Pick<SubjectSource, 'model' | 'outputs' | 'stride'>,
  { space = 'projector', size }: Pick<MeasureMatchesOptions, 'space' | 'size'>,
): ReturnType<typeof outputOfSpace> {
  planInput({ width: size, height: size }, { kind: 'shortestSide', resize: size, crop: size }, subject.stride);
  return outputOfSpace(subject, space);
}

/**
 * Measures the feature matches of a subject on pairs of crops; equal seeds give all subjects the same pairs.
 * @throws what matchedOutput and matchQuality throw.
 */
export async function measureMatches(
  subject: Subject,
  source: SubjectSource,
  photographs: ImageSource,
  options: MeasureMatchesOptions,
): Promise<MeasuredMatches> {
  const { progress = silentProgress, cache = featureCache(undefined), seed = 0 } = options;
  const output = matchedOutput(source, options);
  progress.begin(source.name, photographs.count, 'photographs');
  const quality = await matchQuality(photographs, (batch) => cachedMaps(cache, subject, source, batch, output), {
    ...options,
    runs: subject.runs,
  });
  return { quality, figures: figuresOf(quality), curves: curvesOf(quality, seed) };
}
