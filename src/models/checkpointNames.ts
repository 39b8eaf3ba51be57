import { CheckpointFileError } from '../checkpoint/checkpointFileError.js';

/**
 * Names that one network has in different places: where a backbone stands in a file, and what timm and torchvision call
 * the parameters of a ConvNeXt (their ResNets have the authors' names).
 */

/** Who named the parameters of a backbone. */
export type NamedBy = 'authors' | 'timm' | 'torchvision';

/** Theirs and ours; `#` is a number. */
type Templates = readonly (readonly [theirs: string, ours: string])[];

const TIMM_NORM_FIRST = 'norm_pre';

const timm: Templates = [
  ['stem.0', 'downsample_layers.0.0'],
  ['stem.1', 'downsample_layers.0.1'],
  ['stages.#.downsample.0', 'downsample_layers.#.0'],
  ['stages.#.downsample.1', 'downsample_layers.#.1'],
  ['stages.#.blocks.#.conv_dw', 'stages.#.#.dwconv'],
  ['stages.#.blocks.#.norm', 'stages.#.#.norm'],
  ['stages.#.blocks.#.mlp.fc1', 'stages.#.#.pwconv1'],
  ['stages.#.blocks.#.mlp.fc2', 'stages.#.#.pwconv2'],
  ['stages.#.blocks.#.gamma', 'stages.#.#.gamma'],
  ['head.norm', 'norm'],
  // Where the map is normalised before its mean (timm's head_norm_first).
  [TIMM_NORM_FIRST, 'norm'],
  ['head.fc', 'classifier'],
];

/** torchvision counts layers and stages together: stage s is `features.{2s + 1}`, the layer before it `features.{2s}`. */
const torchvision: Templates = [
  ...[0, 1, 2, 3].flatMap((stage): Templates => {
    const [layer, blocks] = [`features.${2 * stage}`, `features.${2 * stage + 1}.#`];
    return [
      [`${layer}.0`, `downsample_layers.${stage}.0`],
      [`${layer}.1`, `downsample_layers.${stage}.1`],
      [`${blocks}.block.0`, `stages.${stage}.#.dwconv`],
      [`${blocks}.block.2`, `stages.${stage}.#.norm`],
      [`${blocks}.block.3`, `stages.${stage}.#.pwconv1`],
      [`${blocks}.block.5`, `stages.${stage}.#.pwconv2`],
      [`${blocks}.layer_scale`, `stages.${stage}.#.gamma`],
    ];
  }),
  ['classifier.0', 'norm'],
  ['classifier.2', 'classifier'],
];

/** Translates a name by the template that fits it whole, or up to `.weight` or `.bias`. */
function translator(pairs: Templates): (name: string) => string | undefined {
  const rules = pairs.map(([from, to]) => {
    const pattern = from.replaceAll('.', '\\.').replaceAll('#', '(\\d+)');
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

const reversed = (pairs: Templates): Templates => pairs.map(([theirs, ours]) => [ours, theirs]);

/** Whether a key is timm's for a normalisation that stands before the mean. */
export const isNormFirst = (key: string): boolean => key.endsWith(`${TIMM_NORM_FIRST}.weight`);

/** How names are translated; undefined for a name that has no counterpart. */
export interface Naming {
  readonly by: NamedBy;
  readonly toOurs: (name: string) => string | undefined;
  readonly toTheirs: (name: string) => string | undefined;
  /** A key that such a backbone has, behind its prefix. */
  readonly sign: RegExp;
  /** Keys that are the backbone's where it stands at the top of a file, beside anything else. */
  readonly own: RegExp;
}

const namings: readonly Naming[] = [
  {
    by: 'authors',
    toOurs: (name) => name,
    toTheirs: (name) => name,
    sign: /^(.*?)(?:downsample_layers\.0\.0\.weight|layer1\.0\.conv1\.weight)$/,
    own: /^(stages|downsample_layers|layer\d)\./,
  },
  {
    by: 'timm',
    toOurs: translator(timm),
    toTheirs: translator(reversed(timm)),
    sign: /^(.*?)stages\.0\.blocks\.0\.conv_dw\.weight$/,
    own: /^(stages|stem)\./,
  },
  {
    by: 'torchvision',
    toOurs: translator(torchvision),
    toTheirs: translator(reversed(torchvision)),
    sign: /^(.*?)features\.1\.0\.block\.0\.weight$/,
    own: /^features\./,
  },
];

/** A backbone of a file: how its parameters are named, and what stands before their names. */
export interface FoundBackbone {
  readonly naming: Naming;
  readonly prefix: string;
  /** Whether the file has others: students and teachers, queries and keys. */
  readonly oneOfSeveral: boolean;
}

/**
 * Finds the backbone in a file by a key that each has. What stands in another dict than the weights (`ema/`,
 * `state_dict_ema/`) is taken where it is asked for, or where there is nothing else.
 * @param wanted the prefix of one of several, or how it begins.
 * @param flag that chooses one, for the error.
 * @throws CheckpointFileError where there is none, or several to choose from; names them.
 */
export function findBackbone(names: readonly string[], wanted?: string, flag = '--prefix'): FoundBackbone {
  const all = namings.flatMap((naming) =>
    [...new Set(names.flatMap((name) => naming.sign.exec(name)?.[1] ?? []))].map((prefix) => ({ naming, prefix })),
  );
  if (all.length === 0) {
    const first = names.slice(0, 8).join(', ');
    throw new CheckpointFileError(
      "it holds neither a ResNet nor a ConvNeXt under the authors', torchvision's or timm's names; it has " +
        `${first}${names.length > 8 ? ', ...' : ''}`,
    );
  }
  const main = all.filter(({ prefix }) => !prefix.includes('/'));
  const candidates = wanted === undefined ? (main.length > 0 ? main : all) : matching(all, wanted);
  const [first] = candidates;
  if (first !== undefined && candidates.length === 1) return { ...first, oneOfSeveral: all.length > 1 };
  const listed = (candidates.length > 0 ? candidates : all).map(({ prefix }) => prefix || '"" (the top)').join(', ');
  throw new CheckpointFileError(
    candidates.length > 0
      ? `it holds ${candidates.length} backbones; choose one with ${flag}: ${listed}`
      : `it holds no backbone under the prefix "${wanted}"; there is ${listed}`,
  );
}

/** The backbones under a prefix, with or without its last dot; else those whose prefixes begin with it. */
function matching<T extends { readonly prefix: string }>(all: readonly T[], wanted: string): readonly T[] {
  const exact = all.filter(({ prefix }) => prefix === wanted || prefix === `${wanted}.`);
  return exact.length > 0 ? exact : all.filter(({ prefix }) => prefix.startsWith(wanted));
}
