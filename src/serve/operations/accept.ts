/** A media range of a header `accept` with its weight, 0 to 1. */
interface Range {
  readonly type: string;
  readonly weight: number;
}

function rangesOf(accept: string): Range[] {
  // Elements of a list may be empty (RFC 9110, 5.6.1.2).
  const parts = accept.split(',').filter((part) => part.trim() !== '');
  return parts.map((part) => {
    const [type = '', ...parameters] = part.split(';').map((text) => text.trim().toLowerCase());
    const q = parameters.find((parameter) => parameter.startsWith('q='))?.slice(2);
    const weight = q === undefined ? 1 : Number(q);
    return { type, weight: Number.isFinite(weight) ? weight : 0 };
  });
}

/** How well a range fits a type: 3 the type itself, 2 `image/*`, 1 `*` of both, 0 not. */
function fit(range: string, type: string): number {
  if (range === type) return 3;
  if (range === `${type.split('/')[0]}/*`) return 2;
  return range === '*/*' ? 1 : 0;
}

/**
 * The type that a header `accept` prefers (RFC 9110, 12.5.1): the one with the highest weight, which its most specific range gives.
 * Of equal ones the first of `types`. An empty header accepts all, as none does.
 * @returns undefined if it accepts none
 */
export function preferredType(accept: string, types: readonly string[]): string | undefined {
  const ranges = rangesOf(accept);
  if (ranges.length === 0) return types[0];
  const weighted = types.map((type) => {
    const [best] = ranges
      .map(({ type: range, weight }) => ({ weight, specific: fit(range, type) }))
      .filter(({ specific }) => specific > 0)
      .sort((a, b) => b.specific - a.specific);
    return { type, weight: best?.weight ?? 0 };
  });
  // sort() is stable.
  return weighted.filter(({ weight }) => weight > 0).sort((a, b) => b.weight - a.weight)[0]?.type;
}
