/**
 * Match quality: do features find the same place again? Two overlapping crops are cut from a photograph; the matches
 * with the nearest features (paper section 3.1, feature-based matching with top-gamma) are compared with the places
 * that the crops' rectangles give.
 */

import { type AugmentationPolicy, drawAugmentation, noAugmentation } from '../../data/augment.js';
import type { SkippedImage } from '../../data/sample.js';
import type { ImageSource } from '../../data/sources.js';
import { renderView, type ViewParameters } from '../../data/view.js';
import { decodeImage } from '../../image/decode.js';
import type { RgbImage } from '../../image/types.js';
import { type CellFeatures, matchFeatures } from '../../match/features.js';
import { pipelined } from '../../probe/pipelined.js';
import { silentProgress, type WorkProgress } from '../../progress/work.js';
import { type RandomStream, stream } from '../../tensor/random.js';
import { type Tensor, tensor } from '../../tensor/tensor.js';
import { bootstrapInterval } from '../bootstrap.js';
import { requireImages } from '../requireImages.js';
import { overlappingCrops } from './cropPairs.js';
import { chanceShare, isWithin, truePlaces } from './matchScore.js';

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
  /** Least area that both crops share, over the larger crop's area. Default 0.5. */
  readonly minOverlap?: number;
  /** Matches scored of each pair: those with the smallest distances. Default 20. */
  readonly topGamma?: number;
  /** Chebyshev distance in cells up to which a match is right. Default 1. */
  readonly tolerance?: number;
  readonly seed?: number;
  /** Flips and changes of colour of the first and of the second crop. Default none. */
  readonly augmentation?: readonly [AugmentationPolicy, AugmentationPolicy];
  /** Bootstrap samples. Default 2,000. */
  readonly resamples?: number;
  /** Photographs that are computed at once; `extract` is called as often before it has answered. Default 1. */
  readonly runs?: number;
  /** Told of every photograph, also of those that cannot be decoded. */
  readonly progress?: WorkProgress;
}

export interface MatchQuality {
  /** Share of the scored matches whose target cell lies within the tolerance of the true place. */
  readonly share: number;
  /** 95 % percentile bootstrap interval of `share`, over photographs. */
  readonly interval: readonly [number, number];
  /** `share` that a random target cell for every source cell would reach. */
  readonly chance: number;
  /** Share of the scored matches whose true place lies inside the target crop: the most that `share` can be. */
  readonly visible: number;
  /**
   * `share` of each photograph that can be decoded, in the order of the source; the same pairs for the same seed, so
   * models compare paired.
   */
  readonly perPhotograph: Float64Array;
  /** Number of scored matches. */
  readonly matches: number;
  /** Photographs that cannot be decoded, and were left out. */
  readonly skipped: readonly SkippedImage[];
  /** Size of the feature maps. */
  readonly grid: { readonly rows: number; readonly columns: number };
}

const unchanged = [noAugmentation, noAugmentation] as const;

/** Why a photograph is left out. */
type LeftOut = { readonly reason: string };

/** The crops of a photograph, two by two, uint8 [2 * pairs, size, size, 3]. */
type Prepared = { readonly views: readonly ViewParameters[]; readonly batch: Tensor<'uint8'> } | LeftOut;

/** Counts of a photograph's matches, the chance of each of its pairs, and the size of its maps. */
type Scored =
  | {
      readonly right: number;
      readonly visible: number;
      readonly matches: number;
      readonly chances: readonly number[];
      readonly grid: MatchQuality['grid'];
    }
  | LeftOut;

/**
 * Measures match quality over all photographs of a source. Pair k of photograph i is drawn from
 * `stream(seed, 'matchQuality', i, k)`, so two models with maps of any size see the same crops. Each pair is matched in
 * one direction, from its first crop to its second. True places outside the second crop count as wrong.
 * Photographs that cannot be decoded are left out. Some are decoded while others are computed.
 * @throws DataError where fewer than two can be, MatchError where topGamma is above the number of cells, RangeError for a result of `extract` of another shape.
 */
export async function matchQuality(
  photographs: ImageSource,
  extract: ExtractFeatures,
  options: MatchQualityOptions = {},
): Promise<MatchQuality> {
  const { size = 224, pairsPerPhotograph = 4, topGamma = 20, tolerance = 1, seed = 0, resamples = 2000 } = options;
  const { runs = 1, progress = silentProgress } = options;
  if (!Number.isSafeInteger(pairsPerPhotograph) || pairsPerPhotograph < 1) {
    throw new RangeError(`pairsPerPhotograph is ${pairsPerPhotograph}; it must be a whole number of at least 1`);
  }
  const prepare = async (photograph: number): Promise<Prepared> => {
    let image: RgbImage;
    try {
      image = await decodeImage(await photographs.read(photograph));
    } catch (error) {
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

  const score = async (prepared: Prepared): Promise<Scored> => {
    if ('reason' in prepared) return prepared;
    const { views, batch } = prepared;
    const maps = splitMaps(await extract(batch), views.length);
    const scored = { right: 0, visible: 0, matches: 0, chances: [] as number[], grid: { rows: 0, columns: 0 } };
    for (let pair = 0; pair < views.length; pair += 2) {
      const [from, to] = [maps[pair]!, maps[pair + 1]!];
      const { rows, columns } = from;
      const places = truePlaces({ source: views[pair]!.crop, target: views[pair + 1]!.crop, rows, columns });
      for (const { source, target } of matchFeatures(from, to, { topGamma })) {
        scored.matches++;
        if (isWithin(places[source]!, target, columns, tolerance)) scored.right++;
        if (places[source]!.visible) scored.visible++;
      }
      scored.chances.push(chanceShare(places, columns, tolerance));
      scored.grid = { rows, columns };
    }
    return scored;
  };

  const shares: number[] = [];
  const skipped: SkippedImage[] = [];
  const totals = { right: 0, visible: 0, matches: 0, chance: 0 };
  let grid = { rows: 0, columns: 0 };
  for await (const scored of pipelined(photographs.count, prepare, score, { runs })) {
    const index = shares.length + skipped.length;
    progress.advance();
    if ('reason' in scored) {
      skipped.push({ index, name: photographs.nameOf(index), reason: scored.reason });
      continue;
    }
    shares.push(scored.right / scored.matches);
    totals.right += scored.right;
    totals.visible += scored.visible;
    totals.matches += scored.matches;
    for (const chance of scored.chances) totals.chance += chance;
    grid = scored.grid;
  }
  requireImages(shares.length, skipped);
  const perPhotograph = Float64Array.from(shares);
  return {
    share: totals.right / totals.matches,
    interval: bootstrapInterval(perPhotograph, { seed, resamples }),
    chance: totals.chance / (perPhotograph.length * pairsPerPhotograph),
    visible: totals.visible / totals.matches,
    perPhotograph,
    matches: totals.matches,
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
