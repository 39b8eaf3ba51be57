import { isDeepStrictEqual } from 'node:util';
import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { isPart } from './sameData.js';

/** Whether two results were measured with the same options. */

/** Options that say what was found, not how it was measured. */
const FOUND = new Set(['chance', 'chosenLearningRates', 'duplicates', 'unanswerable']);

/** What options meant that results of older versions lack. */
const BEFORE: Readonly<Record<string, unknown>> = { distance: 'l2' };

const SIZES = { crop: ['--crop'], resize: ['--crop', '--resize'] };

/**
 * Options that follow from the model or its run unless a flag gives them: each model is then measured as it is meant to be used, and
 * the results can be compared.
 */
const FOLLOWED: Readonly<Record<EvaluationResult['kind'], Readonly<Record<string, readonly string[]>>>> = {
  knn: SIZES,
  linear: { ...SIZES, learningRates: ['--lr'] },
  retrieval: SIZES,
  // Of the network's family. The protocol says it too, so that results of other rates are never compared.
  segmentation: { learningRate: ['--lr'] },
  // The number of best matches is that of all cells where a map has fewer, which the protocol says too.
  matches: { crop: ['--crop'], top: [] },
  homography: {},
};

/** An option that is not the same in two results, with both values as JSON. */
export interface OptionDifference {
  readonly name: string;
  readonly values: readonly [string, string];
}

/**
 * Whether fewer images were trained on, or searched, than the source has: a part that the seed draws (`--train-images`, `--train-percent`).
 * Of a part of the test images, the names of the items tell whether it is the same.
 */
const isDrawnPart = ({ data }: EvaluationResult): boolean => data.some((set) => set.role !== 'test' && isPart(set));

/**
 * Whether the seed draws what is measured: crops of photographs, random views of them, or the images that are trained on or searched.
 * Elsewhere it draws heads and estimates alone.
 */
function seedDraws(result: EvaluationResult): boolean {
  const { kind, options } = result;
  const views = options['views'];
  const isRandom = (view: unknown) => (view as { readonly kind?: unknown } | null)?.kind === 'perspective';
  if (kind === 'matches' || (kind === 'homography' && Array.isArray(views) && views.some(isRandom))) return true;
  return isDrawnPart(result);
}

const isGiven = ({ command }: EvaluationResult, flags: readonly string[]): boolean =>
  command.some((word) => flags.includes(word.split('=')[0]!));

/** The options of results of one kind that differ, where they decide how something was measured: also `seed`, if it draws what is measured. */
export function optionDifferences(a: EvaluationResult, b: EvaluationResult): OptionDifference[] {
  const names = new Set([...Object.keys(a.options), ...Object.keys(b.options)]);
  const differing = [...names].flatMap((name): OptionDifference[] => {
    if (FOUND.has(name)) return [];
    const [of, other] = [a, b].map(({ options }) => options[name] ?? BEFORE[name]);
    const flags = FOLLOWED[a.kind][name];
    const follows = flags !== undefined && !isGiven(a, flags) && !isGiven(b, flags);
    if (follows || isDeepStrictEqual(of, other)) return [];
    return [{ name, values: [JSON.stringify(of) ?? 'absent', JSON.stringify(other) ?? 'absent'] }];
  });
  if (a.seed === b.seed || !(seedDraws(a) || seedDraws(b))) return differing;
  return [...differing, { name: 'seed', values: [String(a.seed), String(b.seed)] }];
}
