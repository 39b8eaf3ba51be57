import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';
import { type AnyBackboneFamily, backboneFamilies } from '../nn/backbone.js';
import type { NamedBy, NameTemplates, ParameterNaming } from '../nn/parameterNames.js';

/** Finds backbones in checkpoints by the names that their families have in the libraries (src/nn/families). */

/** Translates a name by the template that fits it whole, or up to `.weight` or `.bias`. */
function translator(pairs: NameTemplates): (name: string) => string | undefined {
  const rules = pairs.map(([from, to]) => {
    const pattern = escaped(from).replaceAll('#', '(\\d+)');
    return { pattern: new RegExp(`^${pattern}(\\.weight|\\.bias|)$`), to };
  });
  return (name) => {
    for (const { pattern, to } of rules) {
      const match = pattern.exec(name);
      if (match === null) continue;
      const parts = match.slice(1);
      return `${to.replaceAll('#', () => parts.shift()!)}${parts.at(-1)!}`;
    }
    return undefined;
  };
}

const escaped = (name: string): string => name.replaceAll('.', '\\.');
const reversed = (pairs: NameTemplates): NameTemplates => pairs.map(([theirs, ours]) => [ours, theirs]);

/** The names of a family's parameters in one library; translations are undefined for a name without counterpart. */
export interface Naming {
  readonly family: AnyBackboneFamily;
  readonly by: NamedBy;
  readonly toOurs: (name: string) => string | undefined;
  readonly toTheirs: (name: string) => string | undefined;
  /** Matches a key that such a backbone has; the first group is its prefix. */
  readonly signature: RegExp;
  /** See ParameterNaming. */
  readonly own: RegExp;
}

function namingOf(family: AnyBackboneFamily, { by, signature, own, templates }: ParameterNaming): Naming {
  return {
    ...{ family, by, own },
    toOurs: templates === undefined ? (name) => name : translator(templates),
    toTheirs: templates === undefined ? (name) => name : translator(reversed(templates)),
    signature: new RegExp(`^(.*?)${escaped(signature)}$`),
  };
}

const namings: readonly Naming[] = backboneFamilies.flatMap((family) =>
  family.checkpoints.namings.map((naming) => namingOf(family, naming)),
);

/** A backbone of a file: how its parameters are named, and the prefix of their names. */
export interface FoundBackbone {
  readonly naming: Naming;
  readonly prefix: string;
  /** Whether the file has others: students and teachers, queries and keys. */
  readonly oneOfSeveral: boolean;
}

/**
 * Finds the backbone in a file by a key that every backbone of its family has. Backbones in another dict than the weights
 * (`ema/`, `state_dict_ema/`) are taken only if the prefix asks for them, or the file has no other.
 * @param wanted the prefix of one of several, or its beginning.
 * @param flag that chooses one, for the error.
 * @throws CheckpointFileError if there is none, or several to choose from; names them.
 */
export function findBackbone(names: readonly string[], wanted?: string, flag = '--prefix'): FoundBackbone {
  const all = names.flatMap((name) =>
    namings.flatMap((naming) => {
      const prefix = naming.signature.exec(name)?.[1];
      return prefix === undefined ? [] : [{ naming, prefix }];
    }),
  );
  if (all.length === 0) {
    const first = names.slice(0, 8).join(', ');
    const families = backboneFamilies.map(({ title }) => title).join(', ');
    throw new CheckpointFileError(
      `it holds no backbone of a known family (${families}) under the authors', torchvision's or timm's names; it has ` +
        `${first}${names.length > 8 ? ', ...' : ''}`,
    );
  }
  const main = all.filter(({ prefix }) => !prefix.includes('/'));
  const candidates = wanted === undefined ? (main.length > 0 ? main : all) : matching(all, wanted);
  const [first] = candidates;
  if (first !== undefined && candidates.length === 1) return { ...first, oneOfSeveral: all.length > 1 };
  if (first !== undefined && candidates.every(({ prefix }) => prefix === first.prefix)) {
    const kinds = candidates.map(({ naming }) => `a ${naming.family.title} (names: ${naming.by})`).join(' and ');
    throw new CheckpointFileError(
      `it holds ${kinds} under the same prefix ${prefixText(first.prefix)}; save the tensors of one network in a file of its own`,
    );
  }
  const listed = (candidates.length > 0 ? candidates : all).map(({ prefix }) => prefixText(prefix)).join(', ');
  throw new CheckpointFileError(
    candidates.length > 0
      ? `it holds ${candidates.length} backbones; choose one with ${flag}: ${listed}`
      : `it holds no backbone under the prefix "${wanted}"; there is ${listed}`,
  );
}

const prefixText = (prefix: string): string => prefix || '"" (the top)';

/** The backbones under a prefix, with or without its last dot; else those whose prefixes begin with it. */
function matching<T extends { readonly prefix: string }>(all: readonly T[], wanted: string): readonly T[] {
  const exact = all.filter(({ prefix }) => prefix === wanted || prefix === `${wanted}.`);
  return exact.length > 0 ? exact : all.filter(({ prefix }) => prefix.startsWith(wanted));
}
