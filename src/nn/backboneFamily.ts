import type { Value } from '../onnx/graph.js';
import type { DropPath } from './dropPath.js';
import type { CheckpointNames } from './parameterNames.js';
import type { Parameters } from './parameters.js';

/** One stage of a backbone. */
export interface Stage {
  readonly blocks: number;
  readonly channels: number;
  /** Input pixels from one cell of its map to the next. */
  readonly stride: number;
}

/** Blocks and channels of each stage, as configurations and manifests give them. */
export interface StageSizes {
  readonly depths: readonly number[];
  readonly widths: readonly number[];
}

export interface BackboneOptions {
  /** Receives each stage's map [B, h, w, C], counted from 1, before any normalisation that is not part of the stage. */
  readonly onStage?: (stage: number, map: () => Value) => void;
  /** Put in front of parameter names, such as `backbone.`. */
  readonly prefix?: string;
  readonly dropPath?: DropPath;
  /** Whether the network may keep its maps as [C, N, H, W] inside; see `BackboneFamily.trainsChannelMajor`. */
  readonly channelMajor?: boolean;
}

/**
 * Everything that training, export and import need to know of a kind of backbone. A family is one object in
 * src/nn/families, and an entry of `backboneFamilies` (src/nn/backbone.ts).
 *
 * Functions are methods on purpose: TypeScript then accepts a family of one configuration as a family of any.
 * `familyOf` only hands a family its own configurations.
 */
export interface BackboneFamily<C extends { readonly family: string }> {
  /** Tag of its configurations. */
  readonly family: C['family'];
  /** Name in messages, such as ResNet. */
  readonly title: string;
  /** Configurations by architecture name. */
  readonly configs: Readonly<Record<string, C>>;
  /**
   * Architecture names for networks of other sizes, each with the function that makes a configuration of depths and widths
   * (equally many, at least one). They throw a RangeError for sizes that the network cannot have.
   */
  readonly ofSizes: Readonly<Record<string, (sizes: StageSizes) => C>>;
  /** Which name of `ofSizes` a network of such sizes is given. */
  nameOfSizes(config: C): string;

  /** Emits the network: normalised pixels [B, H, W, 3] -> map [B, h, w, C]. */
  emit(pixels: Value, config: C, parameters: Parameters, options: BackboneOptions): Value;
  /** At least one. Channels and stride of the last are those of the map. */
  stages(config: C): readonly Stage[];
  /** Cells along a side of `size` input pixels. */
  mapCells(size: number, stride: number): number;
  /** Decisions of drop path per image; 0 where the network takes none. */
  dropPathBlocks(config: C): number;
  /** Learning rate of the authors' linear evaluation, for batches of 256 (docs/evaluation.md). */
  readonly linearEvaluationRate: number;
  /** Normalisation of the heads for such a backbone (docs/method.md). */
  readonly headNorm: 'batch' | 'layer';
  /** Whether training is faster on maps of [C, N, H, W], where the provider's table says so (convolutionForms). */
  readonly trainsChannelMajor: boolean;
  /** Which operators an 8-bit network computes with integers. */
  readonly integerOperators: 'conv' | 'gemm';

  /** The normalisation after the last stage, on any [..., C], with the map's parameters. Absent if there is none. */
  finalNorm?(x: Value, parameters: Parameters, prefix: string): Value;
  /** Initial value of layer scale; undefined if the network has none. Absent if the family has none. */
  layerScale?(config: C): number | undefined;
  /** The network with layer scale of an initial value. Absent if the family has none. */
  withLayerScale?(config: C, layerScale: number): C;
  /**
   * The network with another stride of its map and the same weights.
   * @throws RangeError for a stride that it cannot have.
   */
  withOutputStride(config: C, stride: number): C;

  readonly checkpoints: CheckpointNames<C>;
}
