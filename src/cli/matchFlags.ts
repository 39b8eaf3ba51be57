import { type Command, InvalidArgumentError, Option } from 'commander';
import { type MatchDistance, matchDistances } from '../match/distance.js';
import { realNumber } from './realNumber.js';
import { wholeNumber } from './wholeNumber.js';

/** Flags of matching by features, beside the number of pairs: the distance, tests that a pair has to pass, and the homography. */
export interface MatchTestFlags {
  readonly ratio?: number;
  readonly minSimilarity?: number;
  readonly distance: MatchDistance;
  readonly homography: boolean;
  readonly homographyThreshold?: number;
  readonly homographySeed?: number;
}

function cosine(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= -1 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a number between -1 and 1.');
}

/** --distance: what is compared to find the nearest cell. */
export function distanceOption(): Option {
  return new Option(
    '--distance <kind>',
    'distance of two vectors: l2, of unit vectors (cosine), or of unit vectors less the mean of both maps (centredCosine)',
  )
    .choices(matchDistances)
    .default('l2' satisfies MatchDistance);
}

/** Adds --distance, --ratio, --min-similarity, --homography, --homography-threshold and --homography-seed. */
export function addMatchTestFlags(command: Command): Command {
  return command
    .addOption(distanceOption())
    .option(
      '--ratio <ratio>',
      "Lowe's ratio test: maximum ratio of the distances to the nearest and the second nearest cell, 0 to 1",
      realNumber(0, { atMost: 1 }),
    )
    .option('--min-similarity <cosine>', 'minimum cosine similarity, -1 to 1', cosine)
    .option('--homography', 'also fit a homography to the kept pairs (use it with --top 0)', false)
    .option(
      '--homography-threshold <pixels>',
      "maximum distance of an inlier in b (default: the spacing of b's cells)",
      realNumber(0),
    )
    .option('--homography-seed <seed>', 'random seed of the samples (default: 0)', wholeNumber(0));
}

/** The homography of the flags; a threshold or a seed asks for one too. */
export function homographyOptions(flags: MatchTestFlags): {
  readonly homography?: { readonly threshold?: number; readonly seed?: number };
} {
  const { homography, homographyThreshold: threshold, homographySeed: seed } = flags;
  if (!homography && threshold === undefined && seed === undefined) return {};
  return { homography: { ...(threshold !== undefined && { threshold }), ...(seed !== undefined && { seed }) } };
}

/** The distance and the tests of the flags. */
export function matchTests({
  ratio,
  minSimilarity,
  distance,
}: MatchTestFlags): Pick<MatchTestFlags, 'ratio' | 'minSimilarity' | 'distance'> {
  return {
    distance,
    ...(ratio !== undefined && { ratio }),
    ...(minSimilarity !== undefined && { minSimilarity }),
  };
}
