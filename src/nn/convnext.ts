import type { Value } from '../onnx/graph.js';
import { add, gelu, mul } from '../onnx/ops/elementwise.js';
import type { BackboneOptions } from './backboneFamily.js';
import { depthwiseLayer, layerNormLayer, linearLayer, patchLayer, ZEROS } from './layers.js';
import type { Initialiser, Parameters } from './parameters.js';

/**
 * ConvNeXt (Liu et al., "A ConvNet for the 2020s", arXiv 2201.03545), as VICRegL uses it: every cell of the last map
 * is normalised, and layer scale is an option. Parameter names are those of the authors' checkpoints.
 */

export interface ConvNextConfig {
  readonly family: 'convnext';
  /** Blocks of each stage. */
  readonly depths: readonly number[];
  /** Channels of each stage. */
  readonly widths: readonly number[];
  /**
   * Initial value of layer scale (Touvron et al., arXiv 2103.17239): each block's branch is multiplied by a learned
   * `gamma` [C]. Absent: no layer scale, as in the authors' networks.
   */
  readonly layerScale?: number;
}

const sized = (depths: readonly number[], widths: readonly number[]): ConvNextConfig => ({
  family: 'convnext',
  depths,
  widths,
});

/** Configurations by name; atto to nano are timm's small ones. */
export const convNextConfigs: Readonly<Record<string, ConvNextConfig>> = {
  convnext_atto: sized([2, 2, 6, 2], [40, 80, 160, 320]),
  convnext_femto: sized([2, 2, 6, 2], [48, 96, 192, 384]),
  convnext_pico: sized([2, 2, 6, 2], [64, 128, 256, 512]),
  convnext_nano: sized([2, 2, 8, 2], [80, 160, 320, 640]),
  convnext_tiny: sized([3, 3, 9, 3], [96, 192, 384, 768]),
  convnext_small: sized([3, 3, 27, 3], [96, 192, 384, 768]),
  convnext_base: sized([3, 3, 27, 3], [128, 256, 512, 1024]),
  convnext_large: sized([3, 3, 27, 3], [192, 384, 768, 1536]),
  convnext_xlarge: sized([3, 3, 27, 3], [256, 512, 1024, 2048]),
};

const WEIGHT_INIT: Initialiser = { kind: 'truncatedNormal', std: 0.02 };
const NORM_EPSILON = 1e-6;
const STEM_SIZE = 4;
const DOWNSAMPLE_SIZE = 2;
const KERNEL_SIZE = 7;
const EXPANSION = 4;

/** Input pixels from one cell of a stage's map to the next. @param stage counted from 0. */
export function stageStride(stage: number): number {
  return STEM_SIZE * DOWNSAMPLE_SIZE ** stage;
}

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
 * @returns the normalised last map [B, floor(H / stride), floor(W / stride), C], of stride 32 after four stages.
 */
export function convNext(
  pixels: Value,
  { depths, widths, layerScale }: ConvNextConfig,
  parameters: Parameters,
  { prefix = '', dropPath = (branch) => branch, onStage }: BackboneOptions = {},
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

/** The normalisation after the last stage, over the channels of any [..., C]. */
export function convNextNorm(x: Value, parameters: Parameters, prefix = ''): Value {
  return layerNormLayer(x, parameters, `${prefix}norm`, NORM_EPSILON);
}
