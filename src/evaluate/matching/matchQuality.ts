/**
 * Match quality: do features find the same place again? Two overlapping crops are cut from a photograph. The matches with the
 * nearest features (paper section 3.1, feature-based matching with top-gamma) are compared with the positions that follow from
 * the rectangles of the crops.
 */

import { type AugmentationPolicy, drawAugmentation, noAugmentation } from '../../data/augment.js';
import { isChange, watched } from '../../data/imageContents.js';
import type { SkippedImage } from '../../data/sample.js';
import type { ImageSource } from '../../data/sources.js';
import { renderView, type ViewParameters } from '../../data/view.js';
import { decodeImage } from '../../image/decode.js';
import type { RgbImage } from '../../image/types.js';
import type { MatchDistance } from '../../match/distance.js';
import { type CellFeatures, matchFeatures } from '../../match/features.js';
import { pipelined } from '../../probe/pipelined.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { type RandomStream, stream } from '../../tensor/random.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { requireImages } from '../requireImages.js';
import { overlappingCrops } from './cropPairs.js';
import { chanceShare, isWithin, truePositions } from './matchScore.js';
import { refinedPositions } from './refine.js';

/** Numbers of best matches (the paper's gamma) for which shares are measured, in addition to all matches. */
const GAMMAS = [1, 2, 5, 10, 20, 50] as const;

/** Distances in pixels up to which a refined position counts as correct, by the name of the measure. */
const PIXEL_TOLERANCES = { within_1px: 1, within_3px: 3, within_5px: 5 } as const;

/** Largest distance in cells (Chebyshev) of a correct match. */
const TOLERANCE_CELLS = 1;

/** Computes features of a batch: uint8 [B, H, W, 3] -> float32 [B, h, w, D], such as a model's maps_embedding. */
export type ExtractFeatures = (batch: Tensor<'uint8'>) => Promise<Tensor<'float32'>>;

export interface MatchQualityOptions {
  /** Side of the crops after resizing, in pixels. Default 224. */
  readonly size?: number;
  /** Pairs of crops of each photograph. Default 4. */
  readonly pairsPerPhotograph?: number;
  /** Area of a crop over the photograph's. Default 0.4..1. */
  readonly scale?: readonly [number, number];
  /** Width / height of a crop. Default 3/4..4/3. */
  readonly aspect?: readonly [number, number];
  /** Minimum area that both crops share, over the larger crop's area. Default 0.5. */
  readonly minOverlap?: number;
  readonly seed?: number;
  /** Distance by which cells are matched. Default `l2`. Positions are refined by cosine similarity in any case. */
  readonly distance?: MatchDistance;
  /** Flips and colour changes of the first and of the second crop. Default: none. */
  readonly augmentation?: readonly [AugmentationPolicy, AugmentationPolicy];
  /** Photographs that are computed concurrently: the maximum number of unfinished calls of `extract`. Default 1. */
  readonly runs?: number;
  /** Advances for every photograph, including those that cannot be decoded. */
  readonly progress?: WorkProgress;
}

/**
 * What is measured of the best matches of a pair: `share` (the target lies within one cell of the true position), `visible` (the
 * true position lies inside the target crop: the upper bound of the others), and `within_1px` to `within_5px` (the refined
 * position lies within that distance of the true one, in pixels of the network's input).
 */
export type MatchMeasure = 'share' | 'visible' | keyof typeof PIXEL_TOLERANCES;

const MEASURES = ['share', 'visible', 'within_1px', 'within_3px', 'within_5px'] as const satisfies MatchMeasure[];

export interface MatchQuality {
  /** Numbers of best matches: those of `GAMMAS` below the number of cells, then the number of cells (all matches). */
  readonly gammas: readonly number[];
  /**
   * Shares of the best matches, by gamma, then by photograph that can be decoded, in the order of the source. Equal seeds give
   * equal pairs, so the values of two models are paired.
   */
  readonly measures: Readonly<Record<MatchMeasure, readonly Float64Array[]>>;
  /** `share` that a random target cell for every source cell would reach, by photograph. */
  readonly chance: Float64Array;
  /** Photographs that cannot be decoded and are left out. */
  readonly skipped: readonly SkippedImage[];
  /** Size of the feature maps. */
  readonly grid: { readonly rows: number; readonly columns: number };
}

const unchanged = [noAugmentation, noAugmentation] as const;

/** Why a photograph is left out. */
type LeftOut = { readonly reason: string };

/** The crops of a photograph, pair by pair, uint8 [2 * pairs, size, size, 3]. */
type Prepared = { readonly views: readonly ViewParameters[]; readonly batch: Tensor<'uint8'> } | LeftOut;

/** Shares of one photograph's matches, by gamma, and the size of its maps. */
interface Scored {
  readonly measures: Readonly<Record<MatchMeasure, Float64Array>>;
  readonly chance: number;
  readonly grid: MatchQuality['grid'];
}

/** The numbers of best matches to measure on a map. */
function gammasOf(cells: number): number[] {
  return [...GAMMAS.filter((gamma) => gamma < cells), cells];
}

function forMeasures<T>(make: (measure: MatchMeasure) => T): Record<MatchMeasure, T> {
  return Object.fromEntries(MEASURES.map((measure) => [measure, make(measure)])) as Record<MatchMeasure, T>;
}

/** Which of the matches of a pair are correct, best match first. */
function judged(
  [from, to]: readonly [CellFeatures, CellFeatures],
  views: readonly [ViewParameters, ViewParameters],
  size: number,
  distance: MatchDistance,
) {
  const { rows, columns } = from;
  const positions = truePositions({ source: views[0].crop, target: views[1].crop, rows, columns });
  const matches = matchFeatures(from, to, { distance });
  const refined = refinedPositions(from, to, matches, { width: size, height: size });
  const correct = matches.map(({ source, target }, i): Record<MatchMeasure, boolean> => {
    const position = positions[source]!;
    const x = (position.column * size) / columns;
    const y = (position.row * size) / rows;
    const distance = Math.hypot(refined[i]!.x - x, refined[i]!.y - y);
    return forMeasures((measure) => {
      if (measure === 'share') return isWithin(position, target, columns, TOLERANCE_CELLS);
      return position.visible && (measure === 'visible' || distance <= PIXEL_TOLERANCES[measure]);
    });
  });
  return { correct, chance: chanceShare(positions, columns, TOLERANCE_CELLS) };
}

/** Scores the pairs of crops of one photograph. @param maps two for each pair */
function scorePhotograph(
  maps: readonly CellFeatures[],
  views: readonly ViewParameters[],
  size: number,
  distance: MatchDistance,
): Scored {
  const { rows, columns } = maps[0]!;
  const gammas = gammasOf(rows * columns);
  const measures = forMeasures(() => new Float64Array(gammas.length));
  const pairs = maps.length / 2;
  let chance = 0;
  for (let pair = 0; pair < maps.length; pair += 2) {
    const scored = judged([maps[pair]!, maps[pair + 1]!], [views[pair]!, views[pair + 1]!], size, distance);
    chance += scored.chance / pairs;
    for (const measure of MEASURES) {
      for (const [g, gamma] of gammas.entries()) {
        let count = 0;
        for (let i = 0; i < gamma; i++) if (scored.correct[i]![measure]) count++;
        measures[measure][g]! += count / gamma / pairs;
      }
    }
  }
  return { measures, chance, grid: { rows, columns } };
}

/**
 * Measures match quality over all photographs of a source. Pair k of photograph i is drawn from
 * `stream(seed, 'matchQuality', i, k)`, so two models with maps of any size see the same crops. Each pair is matched in
 * one direction, from its first crop to its second. True positions outside the second crop count as wrong.
 * Photographs that cannot be decoded are left out. Some are decoded while others are computed.
 * @throws DataError if fewer than two can be decoded, or one changes between two measurements of the source; RangeError for a result of `extract` of another shape.
 */
export async function matchQuality(
  photographs: ImageSource,
  extract: ExtractFeatures,
  options: MatchQualityOptions = {},
): Promise<MatchQuality> {
  const { size = 224, pairsPerPhotograph = 4, seed = 0, runs = 1, distance = 'l2' } = options;
  const { progress = silentProgress } = options;
  if (!Number.isSafeInteger(pairsPerPhotograph) || pairsPerPhotograph < 1) {
    throw new RangeError(`pairsPerPhotograph is ${pairsPerPhotograph}; it must be a whole number of at least 1`);
  }
  const { read } = watched(photographs);
  const prepare = async (photograph: number): Promise<Prepared> => {
    let image: RgbImage;
    try {
      image = await decodeImage(await read(photograph));
    } catch (error) {
      if (isChange(error)) throw error;
      return { reason: error instanceof Error ? error.message : String(error) };
    }
    const views: ViewParameters[] = [];
    for (let pair = 0; pair < pairsPerPhotograph; pair++) {
      views.push(...drawPair(stream(seed, 'matchQuality', photograph, pair), image, options));
    }
    const rendered = await Promise.all(views.map((view) => renderView(image, view, size)));
    const pixels = new Uint8Array(rendered.length * size * size * 3);
    rendered.forEach((view, v) => {
      pixels.set(view, v * view.length);
    });
    return { views, batch: tensor('uint8', [views.length, size, size, 3], pixels) };
  };

  const score = async (prepared: Prepared): Promise<Scored | LeftOut> => {
    if ('reason' in prepared) return prepared;
    const { views, batch } = prepared;
    return scorePhotograph(splitMaps(await extract(batch), views.length), views, size, distance);
  };

  const scores: Scored[] = [];
  const skipped: SkippedImage[] = [];
  for await (const scored of pipelined(photographs.count, prepare, score, { runs })) {
    const index = scores.length + skipped.length;
    progress.advance();
    if ('reason' in scored) skipped.push({ index, name: photographs.nameOf(index), reason: scored.reason });
    else scores.push(scored);
  }
  requireImages(scores.length, skipped);
  const { grid } = scores[0]!;
  const gammas = gammasOf(grid.rows * grid.columns);
  return {
    gammas,
    measures: forMeasures((measure) =>
      gammas.map((_, g) => Float64Array.from(scores, ({ measures }) => measures[measure][g]!)),
    ),
    chance: Float64Array.from(scores, ({ chance }) => chance),
    skipped,
    grid,
  };
}

function drawPair(
  random: RandomStream,
  image: { readonly width: number; readonly height: number },
  options: MatchQualityOptions,
): ViewParameters[] {
  const { scale = [0.4, 1], aspect = [3 / 4, 4 / 3], minOverlap = 0.5, augmentation = unchanged } = options;
  return overlappingCrops(random, image, { scale, aspect }, minOverlap).map((rectangle, i) => {
    const policy = augmentation[i as 0 | 1];
    return {
      crop: { ...rectangle, flip: random.bernoulli(policy.flipProbability) },
      augmentation: drawAugmentation(random, policy),
    };
  });
}

/** The maps of a batch [B, h, w, D], one by one. */
function splitMaps(features: Tensor<'float32'>, count: number): CellFeatures[] {
  const [batch, rows, columns, channels] = features.shape;
  if (features.shape.length !== 4 || batch !== count || rows === undefined || columns === undefined || !channels) {
    throw new RangeError(`extract returned [${features.shape.join(', ')}]; it must be [${count}, h, w, D]`);
  }
  const stride = rows * columns * channels;
  return Array.from({ length: count }, (_, i) => ({
    rows,
    columns,
    channels,
    data: features.data.subarray(i * stride, (i + 1) * stride),
  }));
}
