import type { BackboneFamily, StageSizes } from '../backboneFamily.js';
import { type ConvNextConfig, convNext, convNextConfigs, convNextNorm, stageStride } from '../convnext.js';
import { countFromZero, type NameTemplates } from '../parameterNames.js';

/** timm's name of the normalisation if it is before the mean (head_norm_first). */
const TIMM_NORM_FIRST = 'norm_pre';

const timm: NameTemplates = [
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
  [TIMM_NORM_FIRST, 'norm'],
  ['head.fc', 'classifier'],
];

/** torchvision counts layers and stages together: stage s is `features.{2s + 1}`, the layer before it `features.{2s}`. */
const torchvision: NameTemplates = [
  ...[0, 1, 2, 3].flatMap((stage): NameTemplates => {
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

/** Layer scale of a network from a checkpoint: the initial value is not in the file, and no longer matters. */
const INFERRED_LAYER_SCALE = 1e-6;

const ofSizes = ({ depths, widths }: StageSizes): ConvNextConfig => ({ family: 'convnext', depths, widths });

/** ConvNeXt (src/nn/convnext.ts): LayerNorm and linear layers, maps channels last throughout. */
export const convNextFamily: BackboneFamily<ConvNextConfig> = {
  family: 'convnext',
  title: 'ConvNeXt',
  configs: convNextConfigs,
  // `custom` is the name in training configurations and the models exported from their runs.
  ofSizes: { convnext: ofSizes, custom: ofSizes },
  nameOfSizes: () => 'convnext',

  emit: convNext,
  stages: ({ depths, widths }) =>
    widths.map((channels, stage) => ({
      blocks: depths[stage] ?? 0,
      channels,
      stride: stageStride(stage),
    })),
  // Every stage drops the pixels beyond a whole patch.
  mapCells: (size, stride) => Math.floor(size / stride),
  dropPathBlocks: ({ depths }) => depths.reduce((sum, depth) => sum + depth, 0),
  linearEvaluationRate: 0.3,
  headNorm: 'layer',
  trainsChannelMajor: false,
  integerOperators: 'gemm',

  finalNorm: convNextNorm,
  layerScale: ({ layerScale }) => layerScale,
  withLayerScale: (config, layerScale) => ({ ...config, layerScale }),
  withOutputStride(config, stride) {
    const own = stageStride(config.widths.length - 1);
    if (stride === own) return config;
    throw new RangeError(
      `output stride ${stride}: a ConvNeXt's is ${own} and cannot be changed; its stages' maps (stages) are finer`,
    );
  },

  checkpoints: {
    namings: [
      { by: 'authors', signature: 'downsample_layers.0.0.weight', own: /^(stages|downsample_layers)\./ },
      { by: 'timm', signature: 'stages.0.blocks.0.conv_dw.weight', own: /^(stages|stem)\./, templates: timm },
      { by: 'torchvision', signature: 'features.1.0.block.0.weight', own: /^features\./, templates: torchvision },
    ],
    infer(shapeOf) {
      // Either layer of a stage may be missing from a file.
      const patches = (stage: number) => shapeOf(`downsample_layers.${stage}.${stage === 0 ? 0 : 1}.weight`);
      const kernel = (stage: number, block: number) => shapeOf(`stages.${stage}.${block}.dwconv.weight`);
      const stages = countFromZero((stage) => patches(stage) !== undefined || kernel(stage, 0) !== undefined);
      const numbers = Array.from({ length: stages }, (_, stage) => stage);
      return {
        ...ofSizes({
          depths: numbers.map((stage) => countFromZero((block) => kernel(stage, block) !== undefined)),
          widths: numbers.map((stage) => patches(stage)?.[0] ?? kernel(stage, 0)?.[0] ?? 0),
        }),
        ...(shapeOf('stages.0.0.gamma') !== undefined && { layerScale: INFERRED_LAYER_SCALE }),
      };
    },
    // timm may have linear layers as 1 x 1 convolutions; torchvision's layer scale is [C, 1, 1].
    plainShape(name, shape) {
      const rank = /\.pwconv[12]\.weight$/.test(name) ? 2 : /\.gamma$/.test(name) ? 1 : shape.length;
      return shape.slice(rank).every((size) => size === 1) ? shape.slice(0, rank) : shape;
    },
    // Supervised ConvNeXts normalise the mean, among them those of the ConvNeXt paper's code, whose names are the authors'.
    normalisesMean: ({ by, hasClassifier, keyOf }) =>
      (by !== 'authors' || hasClassifier) && !keyOf('norm.weight')?.endsWith(`${TIMM_NORM_FIRST}.weight`),
  },
};
