import type { Value } from '../onnx/graph.js';
import {
  type ConvNextConfig,
  convNext,
  convNextBlocks,
  convNextConfigs,
  convNextNorm,
  convNextStride,
  type DropPath,
} from './convnext.js';
import type { Parameters } from './parameters.js';
import { type ResNetConfig, resNet, resNetChannels, resNetConfigs } from './resnet.js';

/** The backbones under one roof: what training, export and evaluation need to know of any of them. */
export type BackboneConfig = ConvNextConfig | ResNetConfig;

/** Configurations by name. */
export const backboneConfigs: Readonly<Record<string, BackboneConfig>> = { ...convNextConfigs, ...resNetConfigs };

function isResNet(config: BackboneConfig): config is ResNetConfig {
  return 'block' in config;
}

/** Input pixels from one cell of the map to the next. */
export function backboneStride(config: BackboneConfig): number {
  return isResNet(config) ? (config.outputStride ?? 32) : convNextStride(config);
}

/** Channels C of map and representation. */
export function backboneChannels(config: BackboneConfig): number {
  return isResNet(config) ? resNetChannels(config) : config.widths.at(-1)!;
}

/** Drop-path decisions per image; a ResNet takes none. */
export function dropPathBlocks(config: BackboneConfig): number {
  return isResNet(config) ? 0 : convNextBlocks(config);
}

/** The norm of the heads: BatchNorm beside a ResNet, LayerNorm beside a ConvNeXt (docs/method.md). */
export function headNorm(config: BackboneConfig): 'batch' | 'layer' {
  return isResNet(config) ? 'batch' : 'layer';
}

/**
 * Cells along a side of `size` input pixels.
 * ConvNeXt floors at every stage; ResNet's padded layers round up.
 */
export function mapCells(config: BackboneConfig, size: number): number {
  const stride = backboneStride(config);
  return isResNet(config) ? Math.ceil(size / stride) : Math.floor(size / stride);
}

interface BackboneOptions {
  /** Told each stage's map [B, h, w, C], before any normalisation that is not part of the stage. */
  readonly onStage?: (stage: number, map: () => Value) => void;
  readonly prefix?: string;
  readonly dropPath?: DropPath;
}

/** Emits a backbone: normalised pixels [B, H, W, 3] -> map [B, h, w, C]. */
export function backbone(
  pixels: Value,
  config: BackboneConfig,
  parameters: Parameters,
  options: BackboneOptions = {},
): Value {
  return isResNet(config) ? resNet(pixels, config, parameters, options) : convNext(pixels, config, parameters, options);
}

/**
 * The normalisation behind the last stage, on any [..., C]: a ConvNeXt's, with the parameters of its map's.
 * @throws RangeError for a ResNet, which has none.
 */
export function finalNorm(x: Value, config: BackboneConfig, parameters: Parameters, prefix: string): Value {
  if (isResNet(config)) throw new RangeError('a ResNet has no normalisation behind its last stage');
  return convNextNorm(x, parameters, prefix);
}

/** Initial value of a ConvNeXt's layer scale; undefined where there is none. */
export function layerScaleOf(config: BackboneConfig): number | undefined {
  return isResNet(config) ? undefined : config.layerScale;
}

/** The backbone with layer scale of an initial value. @throws RangeError for a ResNet, which has none. */
export function withLayerScale(config: BackboneConfig, layerScale: number): BackboneConfig {
  if (isResNet(config)) throw new RangeError('a ResNet has no layer scale; leave out layerScale');
  return { ...config, layerScale };
}

/**
 * The backbone with input pixels from cell to cell as given: 32, 16 or 8 for a ResNet, whose last stages dilate in place
 * of striding, with the same weights; a ConvNeXt has one stride alone.
 * @throws RangeError for a stride that the backbone cannot have.
 */
export function withOutputStride(config: BackboneConfig, stride: number): BackboneConfig {
  if (stride === backboneStride(config)) return config;
  if (!isResNet(config)) {
    throw new RangeError(
      `output stride ${stride}: a ConvNeXt's is ${backboneStride(config)} and cannot be changed; its stages' maps (stages) are finer`,
    );
  }
  if (stride !== 8 && stride !== 16 && stride !== 32) {
    throw new RangeError(`output stride ${stride}: a ResNet's may be 32, 16 or 8`);
  }
  return { ...config, outputStride: stride };
}

/** Whether the network computes mostly in dense convolutions (ResNet) or in linear layers (ConvNeXt). */
export function isConvolutional(config: BackboneConfig): boolean {
  return isResNet(config);
}

/** Input pixels from one cell to the next after each stage. */
export function stageStrides(config: BackboneConfig): readonly number[] {
  const last = backboneStride(config);
  return stageSizes(config).depths.map((_, stage) => Math.min(last, 4 * 2 ** stage));
}

/** Blocks and channels of each stage, as the manifest has them. */
export function stageSizes(config: BackboneConfig): { depths: number[]; widths: number[] } {
  if (!isResNet(config)) return { depths: [...config.depths], widths: [...config.widths] };
  const last = resNetChannels(config);
  const stages = config.layers.length;
  return { depths: [...config.layers], widths: config.layers.map((_, stage) => last / 2 ** (stages - 1 - stage)) };
}
