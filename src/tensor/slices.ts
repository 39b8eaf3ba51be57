/** Numbers worked on between two pauses: 2 or 3 milliseconds of a plain loop; the usual maps (14 x 14 x 512) are done at once. */
const SLICE_ELEMENTS = 2 ** 18;

/**
 * Works through vectors from the first to the last, with a pause (yield) between slices of about `SLICE_ELEMENTS` numbers.
 * @param channels numbers of one vector
 * @param work told the vectors [first, end) of a slice
 */
export function* inSlices(
  vectors: number,
  channels: number,
  work: (first: number, end: number) => void,
): Generator<void, void> {
  const count = Math.max(1, Math.floor(SLICE_ELEMENTS / channels));
  for (let first = 0; first < vectors; first += count) {
    if (first > 0) yield;
    work(first, Math.min(vectors, first + count));
  }
}
