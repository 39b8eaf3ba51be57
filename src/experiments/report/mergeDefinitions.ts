import { inOrder } from '../../files/inOrder.js';
import { readRecord } from '../cellRecord.js';
import { cellFolder } from '../cells.js';
import { settingsChanges } from '../changes.js';
import { type Definition, readDefinition } from '../definition.js';
import { ExperimentError } from '../experimentError.js';

/** The definitions of several folders as one. */

type DefinedVariant = Definition['variants'][number];

export function union<T>(lists: readonly (readonly T[])[], keyOf: (item: T) => string | number): T[] {
  return [...new Map(lists.flat().map((item) => [keyOf(item), item])).values()];
}

/** The variant with its settings: older versions recorded them in cells alone. */
async function withSettings(out: string, variant: DefinedVariant, seeds: readonly number[]): Promise<DefinedVariant> {
  if (variant.settings !== undefined) return variant;
  for (const seed of seeds) {
    const record = await readRecord(cellFolder(out, { variant, seed }));
    if (record?.digest === variant.digest) return { ...variant, settings: record.settings };
  }
  return variant;
}

/** The definition of a folder, with the settings of all variants as far as they are recorded. */
export async function completeDefinition(out: string): Promise<Definition> {
  const definition = await readDefinition(out);
  const { variants, seeds } = definition;
  return { ...definition, variants: await inOrder(variants, (variant) => withSettings(out, variant, seeds)) };
}

/** The definitions of several folders as one. @throws ExperimentError for folders of different experiments. */
export function mergeDefinitions(folders: readonly string[], definitions: readonly Definition[]): Definition {
  const [first] = definitions;
  const variants = new Map<string, { readonly variant: DefinedVariant; readonly folder: string }>();
  for (const [i, definition] of definitions.entries()) {
    const folder = folders[i]!;
    if (definition.name !== first!.name) {
      throw new ExperimentError(
        `${folders[0]} is of the experiment "${first!.name}", and ${folder} of "${definition.name}"; report them one by one`,
      );
    }
    for (const variant of definition.variants) {
      const other = variants.get(variant.name);
      if (other === undefined) variants.set(variant.name, { variant, folder });
      const changes = other === undefined ? [] : settingsChanges(other.variant, variant);
      if (changes.length > 0) {
        throw new ExperimentError(
          `variant ${variant.name} has other settings in ${folder} than in ${other!.folder} (${changes.join(', ')}); run both with the same file`,
        );
      }
    }
  }
  return {
    ...first!,
    variants: [...variants.values()].map(({ variant }) => variant),
    seeds: union(
      definitions.map(({ seeds }) => seeds),
      (seed) => seed,
    ),
    evaluations: union(
      definitions.map(({ evaluations }) => evaluations),
      ({ name }) => name,
    ),
  };
}
