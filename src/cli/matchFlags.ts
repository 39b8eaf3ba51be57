import { type Command, InvalidArgumentError } from 'commander';
import { realNumber } from './realNumber.js';
import { wholeNumber } from './wholeNumber.js';

/** Flags of matching by features, beside the number of pairs: tests that a pair has to pass, and the homography. */
export interface MatchTestFlags {
  readonly ratio?: number;
  readonly minSimilarity?: number;
  readonly homography: boolean;
  readonly homographyThreshold?: number;
  readonly homographySeed?: number;
}

function cosine(text: string): number {
  const value = Number(text);
  if (text.trim() !== '' && value >= -1 && value <= 1) return value;
  throw new InvalidArgumentError('It must be a number between -1 and 1.');
}

/** Adds --ratio, --min-similarity, --homography, --homography-threshold and --homography-seed. */
export function addMatchTestFlags(command: Command): Command {
  return command
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

/** The tests of the flags. */
export function matchTests({ ratio, minSimilarity }: MatchTestFlags): {
  readonly ratio?: number;
  readonly minSimilarity?: number;
} {
  return { ...(ratio !== undefined && { ratio }), ...(minSimilarity !== undefined && { minSimilarity }) };
}
