import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { itemPlaces } from '../../report/results/itemPlaces.js';

/**
 * A result with its items, and the values of all subjects, in the order of another's items: a seed may decide the order in which images
 * are tested, and seeds are crossed item by item.
 * @param items the same names. A result of others is returned as it is.
 */
export function alignItems(result: EvaluationResult, items: readonly string[] | undefined): EvaluationResult {
  const places = items && result.items && itemPlaces(items, result.items);
  if (places === undefined || places.every((place, i) => place === i)) return result;
  return {
    ...result,
    items: [...items!],
    subjects: result.subjects.map(({ perItem, ...subject }) => ({
      ...subject,
      ...(perItem && {
        perItem: Object.fromEntries(
          Object.entries(perItem).map(([figure, values]) => [figure, places.map((place) => values[place]!)]),
        ),
      }),
    })),
  };
}
