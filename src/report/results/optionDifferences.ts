import { isDeepStrictEqual } from 'node:util';
import type { EvaluationResult } from '../../evaluate/result/schema.js';

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
  segmentation: {},
  matches: { crop: ['--crop'] },
  homography: {},
};

/** An option that is not the same in two results, with both values as JSON. */
export interface OptionDifference {
  readonly name: string;
  readonly values: readonly [string, string];
}

/** Whether the seed draws what is measured: crops of photographs, or random views of them. Elsewhere it draws heads and estimates alone. */
function seedDrawsItems({ kind, options: { views } }: EvaluationResult): boolean {
  const isRandom = (view: unknown) => (view as { readonly kind?: unknown } | null)?.kind === 'perspective';
  return kind === 'matches' || (kind === 'homography' && Array.isArray(views) && views.some(isRandom));
}

const isGiven = ({ command }: EvaluationResult, flags: readonly string[]): boolean =>
  command.some((word) => flags.includes(word.split('=')[0]!));

/** The options of results of one kind that differ, where they decide how something was measured: also `seed`, if it draws the items. */
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
  if (a.seed === b.seed || !seedDrawsItems(a)) return differing;
  return [...differing, { name: 'seed', values: [String(a.seed), String(b.seed)] }];
}
