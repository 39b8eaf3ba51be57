/**
 * The places in `other` of items, by name: a seed may decide the order in which images are tested. Undefined unless both have the same
 * names. Names that are there twice cannot be told apart: such lists are the same only in the same order.
 */
export function itemPlaces(items: readonly string[], other: readonly string[]): readonly number[] | undefined {
  if (items.length !== other.length) return undefined;
  if (items.every((name, i) => name === other[i])) return items.map((_, i) => i);
  const places = new Map(other.map((name, i) => [name, i]));
  const found = items.flatMap((name) => places.get(name) ?? []);
  return new Set(found).size === items.length ? found : undefined;
}
