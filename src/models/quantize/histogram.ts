/** Distribution of an activation's elements, collected tensor by tensor. */

const BINS = 4096;

/**
 * Counts in equal bins over -limit..limit. The limit is a power of two. It doubles when an element lies outside: each two
 * bins merge into one, so no earlier tensor is needed again.
 */
export class Histogram {
  #limit = 2 ** -10;
  #counts = new Float64Array(BINS);
  #min = Number.POSITIVE_INFINITY;
  #max = Number.NEGATIVE_INFINITY;

  /** Smallest and largest element so far. */
  get range(): readonly [number, number] {
    return [this.#min, this.#max];
  }

  /** @throws RangeError for an element that is not finite; the histogram is as before. */
  add(elements: Float32Array): void {
    let min = this.#min;
    let max = this.#max;
    for (const element of elements) {
      if (!Number.isFinite(element)) throw new RangeError(`an element is ${element}`);
      if (element < min) min = element;
      if (element > max) max = element;
    }
    this.#min = min;
    this.#max = max;
    while (Math.max(-min, max) >= this.#limit) this.#double();
    const counts = this.#counts;
    const scale = BINS / (2 * this.#limit);
    for (const element of elements) counts[(element * scale + BINS / 2) | 0]! += 1;
  }

  /** Bins that hold anything: their centres and counts. */
  bins(): { readonly centre: number; readonly count: number }[] {
    const width = (2 * this.#limit) / BINS;
    return Array.from(this.#counts, (count, i) => ({ centre: (i + 0.5) * width - this.#limit, count })).filter(
      ({ count }) => count > 0,
    );
  }

  #double(): void {
    const merged = new Float64Array(BINS);
    this.#counts.forEach((count, i) => {
      merged[BINS / 4 + (i >> 1)]! += count;
    });
    this.#counts = merged;
    this.#limit *= 2;
  }
}
