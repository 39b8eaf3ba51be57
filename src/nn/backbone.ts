import { convolutionForms } from '../onnx/convolutionForms.js';
import type { Value } from '../onnx/graph.js';
import type { BackboneFamily, BackboneOptions, Stage, StageSizes } from './backboneFamily.js';
import { convNextFamily } from './families/convnext.js';
import { resNetFamily } from './families/resnet.js';
import type { Parameters } from './parameters.js';

/** Backbones of every family. What differs between families is asked of the family (backboneFamily.ts). */

/** The table of families: all else follows from it. */
const families = [convNextFamily, resNetFamily] as const;

type ConfigOf<F> = F extends BackboneFamily<infer C> ? C : never;

/** A network of any family, by its tag `family`. */
export type BackboneConfig = ConfigOf<(typeof families)[number]>;

/** A family of which the code that uses it knows no more than the interface. */
export type AnyBackboneFamily = BackboneFamily<BackboneConfig>;

export const backboneFamilies: readonly AnyBackboneFamily[] = families;

/** The family of a backbone. @throws RangeError for a tag that no family has. */
export function familyOf({ family }: Pick<BackboneConfig, 'family'>): AnyBackboneFamily {
  const found = backboneFamilies.find((one) => one.family === family);
  if (found !== undefined) return found;
  const known = backboneFamilies.map((one) => one.family).join(', ');
  throw new RangeError(`there is no backbone family "${family}"; known are ${known}`);
}

/** Configurations by architecture name. */
export const backboneConfigs: Readonly<Record<string, BackboneConfig>> = Object.fromEntries(
  backboneFamilies.flatMap(({ configs }) => Object.entries(configs)),
);

/** The configuration of an architecture name. @throws RangeError for an unknown one, with those that are known. */
export function backboneNamed(architecture: string): BackboneConfig {
  if (Object.hasOwn(backboneConfigs, architecture)) return backboneConfigs[architecture]!;
  throw new RangeError(
    `architecture "${architecture}" is unknown; known are ${Object.keys(backboneConfigs).join(', ')}`,
  );
}

/** Every architecture name that a manifest may have: those of configurations, then those for networks of other sizes. */
export const architectureNames: readonly string[] = [
  ...Object.keys(backboneConfigs),
  ...backboneFamilies.flatMap(({ ofSizes }) => Object.keys(ofSizes)),
];

/**
 * The backbone of an architecture name.
 * @param sizes of its stages, for a name that leaves them open (`custom`, `resnet_basic`, ...).
 * @throws RangeError for an unknown name, with those that are known, and for sizes that the architecture cannot have.
 */
export function backboneOfArchitecture(architecture: string, sizes: StageSizes): BackboneConfig {
  for (const { configs, ofSizes } of backboneFamilies) {
    if (Object.hasOwn(configs, architecture)) return configs[architecture]!;
    if (!Object.hasOwn(ofSizes, architecture)) continue;
    const [depths, widths] = [sizes.depths.length, sizes.widths.length];
    if (depths === 0 || depths !== widths) {
      throw new RangeError(
        `architecture "${architecture}" needs depths and widths of one or more stages; there are ${depths} depths and ${widths} widths`,
      );
    }
    return ofSizes[architecture]!(sizes);
  }
  throw new RangeError(`architecture "${architecture}" is unknown; known are ${architectureNames.join(', ')}`);
}

/** The architecture name of a backbone: that of the configuration of its sizes, else the family's for other sizes. */
export function architectureOf(config: BackboneConfig): string {
  const family = familyOf(config);
  const name = family.nameOfSizes(config);
  const sizes = JSON.stringify(stageSizes(config));
  const named = Object.entries(family.configs).find(
    ([, other]) => family.nameOfSizes(other) === name && JSON.stringify(stageSizes(other)) === sizes,
  );
  return named?.[0] ?? name;
}

/** The stages of a backbone, at least one. */
export function backboneStages(config: BackboneConfig): readonly Stage[] {
  return familyOf(config).stages(config);
}

/** Blocks and channels of each stage, as the manifest has them. */
export function stageSizes(config: BackboneConfig): { depths: number[]; widths: number[] } {
  const stages = backboneStages(config);
  return { depths: stages.map(({ blocks }) => blocks), widths: stages.map(({ channels }) => channels) };
}

/** Input pixels from one cell of the map to the next. */
export function backboneStride(config: BackboneConfig): number {
  return backboneStages(config).at(-1)!.stride;
}

/** Channels C of map and representation. */
export function backboneChannels(config: BackboneConfig): number {
  return backboneStages(config).at(-1)!.channels;
}

/** Cells of the map along a side of `size` input pixels. */
export function mapCells(config: BackboneConfig, size: number): number {
  return familyOf(config).mapCells(size, backboneStride(config));
}

/** Drop-path decisions per image; 0 where the backbone takes none. */
export function dropPathBlocks(config: BackboneConfig): number {
  return familyOf(config).dropPathBlocks(config);
}

/** The normalisation of the heads for this backbone (docs/method.md). */
export function headNorm(config: BackboneConfig): 'batch' | 'layer' {
  return familyOf(config).headNorm;
}

/** Emits a backbone: normalised pixels [B, H, W, 3] -> map [B, h, w, C]. */
export function backbone(
  pixels: Value,
  config: BackboneConfig,
  parameters: Parameters,
  options: Omit<BackboneOptions, 'channelMajor'> = {},
): Value {
  const family = familyOf(config);
  const { graph, training, measuredForms } = parameters;
  const channelMajor =
    family.trainsChannelMajor && training && measuredForms && convolutionForms[graph.provider].channelMajor;
  return family.emit(pixels, config, parameters, { ...options, channelMajor });
}

/**
 * The normalisation after the last stage, on any [..., C], with the parameters of the map's.
 * @throws RangeError for a family that has none.
 */
export function finalNorm(x: Value, config: BackboneConfig, parameters: Parameters, prefix: string): Value {
  const family = familyOf(config);
  if (family.finalNorm === undefined) {
    throw new RangeError(`a ${family.title} has no normalisation after its last stage`);
  }
  return family.finalNorm(x, parameters, prefix);
}

/** Initial value of layer scale; undefined if the backbone has none. */
export function layerScaleOf(config: BackboneConfig): number | undefined {
  return familyOf(config).layerScale?.(config);
}

/** The backbone with layer scale of an initial value. @throws RangeError for a family that has none. */
export function withLayerScale(config: BackboneConfig, layerScale: number): BackboneConfig {
  const family = familyOf(config);
  if (family.withLayerScale === undefined) {
    throw new RangeError(`a ${family.title} has no layer scale; leave out layerScale`);
  }
  return family.withLayerScale(config, layerScale);
}

/**
 * The backbone with another stride of its map and the same weights.
 * @param stride input pixels from one cell to the next.
 * @throws RangeError for a stride that the backbone cannot have.
 */
export function withOutputStride(config: BackboneConfig, stride: number): BackboneConfig {
  return familyOf(config).withOutputStride(config, stride);
}

/** Which operators an 8-bit backbone computes with integers. */
export function integerOperators(config: BackboneConfig): 'conv' | 'gemm' {
  return familyOf(config).integerOperators;
}
