import type { Value } from '../onnx/graph.js';
import { add, gelu, mul } from '../onnx/ops/elementwise.js';
import { depthwiseLayer, layerNormLayer, linearLayer, patchLayer, ZEROS } from './layers.js';
import type { Initialiser, Parameters } from './parameters.js';

/**
 * ConvNeXt (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545), as VICRegL uses it: every cell of the last map
 * is normalised, and layer scale is an option. Parameter names are those of the authors' checkpoints.
 */

export interface ConvNextConfig {
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Channels of each stage. */
  readonly widths: readonly number[];
  /**
   * Layer scale (Touvron et al., arXiv 2103.17239): each block's branch is multiplied by a learned `gamma` [C] that starts
   * at this value. None when absent, as in the authors' networks.
   */
  readonly layerScale?: number;
}

/** Configurations by name; atto to nano are timm's small ones. */
export const convNextConfigs: Readonly<Record<string, ConvNextConfig>> = {
  convnext_atto: { depths: [2, 2, 6, 2], widths: [40, 80, 160, 320] },
  convnext_femto: { depths: [2, 2, 6, 2], widths: [48, 96, 192, 384] },
  convnext_pico: { depths: [2, 2, 6, 2], widths: [64, 128, 256, 512] },
  convnext_nano: { depths: [2, 2, 8, 2], widths: [80, 160, 320, 640] },
  convnext_tiny: { depths: [3, 3, 9, 3], widths: [96, 192, 384, 768] },
  convnext_small: { depths: [3, 3, 27, 3], widths: [96, 192, 384, 768] },
  convnext_base: { depths: [3, 3, 27, 3], widths: [128, 256, 512, 1024] },
  convnext_large: { depths: [3, 3, 27, 3], widths: [192, 384, 768, 1536] },
  convnext_xlarge: { depths: [3, 3, 27, 3], widths: [256, 512, 1024, 2048] },
};

const WEIGHT_INIT: Initialiser = { kind: 'truncatedNormal', std: 0.02 };
const NORM_EPSILON = 1e-6;
const STEM_SIZE = 4;
const DOWNSAMPLE_SIZE = 2;
const KERNEL_SIZE = 7;
const EXPANSION = 4;

/** Input pixels from one cell of the last map to the next. */
export function convNextStride({ widths }: ConvNextConfig): number {
  return STEM_SIZE * DOWNSAMPLE_SIZE ** (widths.length - 1);
}

/** Blocks of all stages: the number of drop-path decisions per image. */
export function convNextBlocks({ depths }: ConvNextConfig): number {
  return depths.reduce((sum, depth) => sum + depth, 0);
}

/**
 * Stochastic depth (Huang et al., arXiv 1603.09382): multiplies each image's residual branch of block `index` (counted
 * over all stages) by 0 or 1 / keep probability, [B, 1, 1, 1].
 */
export type DropPath = (branch: Value, index: number) => Value;

function block(
  x: Value,
  parameters: Parameters,
  name: string,
  layerScale: number | undefined,
  dropPath: (branch: Value) => Value,
): Value {
  const channels = x.shape[3] as number;
  const weightInit = WEIGHT_INIT;
  const linearInit = { weightInit, biasInit: ZEROS };
  let y = depthwiseLayer(x, parameters, `${name}.dwconv`, { size: KERNEL_SIZE, weightInit, biasInit: ZEROS });
  y = layerNormLayer(y, parameters, `${name}.norm`, NORM_EPSILON);
  y = linearLayer(y, parameters, `${name}.pwconv1`, EXPANSION * channels, linearInit);
  y = gelu(y);
  y = linearLayer(y, parameters, `${name}.pwconv2`, channels, linearInit);
  if (layerScale !== undefined) {
    y = mul(y, parameters.get(`${name}.gamma`, [channels], { kind: 'constant', value: layerScale }));
  }
  return add(x, dropPath(y));
}

/**
 * Emits the backbone.
 * @param pixels normalised RGB [B, H, W, 3].
 * @param prefix of parameter names, such as `backbone.`.
 * @param onStage told each stage's map, counted from 1, not normalised.
 * @returns the normalised last map [B, floor(H/32), floor(W/32), C] (four stages).
 */
export function convNext(
  pixels: Value,
  { depths, widths, layerScale }: ConvNextConfig,
  parameters: Parameters,
  {
    prefix = '',
    dropPath = (branch) => branch,
    onStage,
  }: {
    readonly prefix?: string;
    readonly dropPath?: DropPath;
    readonly onStage?: (stage: number, map: () => Value) => void;
  } = {},
): Value {
  const { graph } = pixels;
  const init = { weightInit: WEIGHT_INIT, biasInit: ZEROS };
  let x = pixels;
  let index = 0;
  widths.forEach((outputs, stage) => {
    const layer = `${prefix}downsample_layers.${stage}`;
    x = graph.scope(layer, () => {
      // The stem normalises after its convolution, the later layers before.
      if (stage === 0) {
        const stem = patchLayer(x, parameters, `${layer}.0`, { outputs, size: STEM_SIZE, ...init });
        return layerNormLayer(stem, parameters, `${layer}.1`, NORM_EPSILON);
      }
      const normalised = layerNormLayer(x, parameters, `${layer}.0`, NORM_EPSILON);
      return patchLayer(normalised, parameters, `${layer}.1`, { outputs, size: DOWNSAMPLE_SIZE, ...init });
    });
    for (let depth = 0; depth < (depths[stage] ?? 0); depth++) {
      const name = `${prefix}stages.${stage}.${depth}`;
      const at = index;
      x = graph.scope(name, () => block(x, parameters, name, layerScale, (branch) => dropPath(branch, at)));
      index += 1;
    }
    const map = x;
    onStage?.(stage + 1, () => map);
  });
  return convNextNorm(x, parameters, prefix);
}

/** The normalisation behind the last stage, over the channels of any [..., C]. */
export function convNextNorm(x: Value, parameters: Parameters, prefix = ''): Value {
  return layerNormLayer(x, parameters, `${prefix}norm`, NORM_EPSILON);
}

/** Keep probabilities of every block: 1 - rate, the rate growing linearly from 0 to `dropPathRate`. */
export function keepProbabilities(blocks: number, dropPathRate: number): number[] {
  return Array.from({ length: blocks }, (_, i) => 1 - (blocks === 1 ? 0 : (dropPathRate * i) / (blocks - 1)));
}

/** Drop path from scales drawn outside the graph: [B, blocks], each 0 or 1 / keep probability. */
export function dropPathFrom(scales: readonly Value[]): DropPath {
  return (branch, index) => mul(branch, scales[index]!);
}
