/** Measures of one query's ranking of a gallery (docs/evaluation.md, Retrieval). */

/** What one query found. */
export interface QueryRanking {
  /** Average precision; NaN where the gallery has no relevant image. */
  readonly averagePrecision: number;
  /** Place of the first relevant image, from 0. Among equal similarities it stands behind the images that are not relevant. */
  readonly firstRelevant: number;
}

/**
 * Ranks a gallery by similarity. Average precision is the mean, over the relevant images, of the precision among all images
 * of at least their similarity: scikit-learn's average_precision_score, so that the order of equal similarities has no
 * effect.
 * @param similarities to each image of the gallery. One that is not finite stands behind all others.
 * @param isRelevant whether the image at a place is of the query's class.
 * @param skip place of the query itself in the gallery, which is left out.
 */
export function rankQuery(
  similarities: Float32Array,
  isRelevant: (place: number) => boolean,
  skip?: number,
): QueryRanking {
  const count = similarities.length;
  const similarityAt = (place: number): number => {
    const value = similarities[place]!;
    return Number.isFinite(value) ? value : Number.NEGATIVE_INFINITY;
  };
  const found: number[] = [];
  for (let place = 0; place < count; place++) if (place !== skip && isRelevant(place)) found.push(similarityAt(place));
  if (found.length === 0) return { averagePrecision: Number.NaN, firstRelevant: Number.POSITIVE_INFINITY };
  // Descending: a binary search finds the relevant images that another image stands at or before. The gallery need not be sorted.
  const relevant = Float64Array.from(found).sort().reverse();
  const others = new Uint32Array(relevant.length + 1);
  for (let place = 0; place < count; place++) {
    if (place === skip || isRelevant(place)) continue;
    const at = firstAtMost(relevant, similarityAt(place));
    others[at] = others[at]! + 1;
  }
  let sum = 0;
  let before = 0;
  let firstRelevant = 0;
  for (let start = 0; start < relevant.length; ) {
    // Others at least as similar as this group of equal similarities.
    let end = start + 1;
    before += others[start]!;
    while (end < relevant.length && relevant[end] === relevant[start]) before += others[end++]!;
    if (start === 0) firstRelevant = before;
    sum += (end - start) * (end / (end + before));
    start = end;
  }
  return { averagePrecision: sum / relevant.length, firstRelevant };
}

/** First place of descending values whose value is at most `limit`; their number where none is. */
function firstAtMost(values: Float64Array, limit: number): number {
  let [low, high] = [0, values.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (values[middle]! <= limit) high = middle;
    else low = middle + 1;
  }
  return low;
}
