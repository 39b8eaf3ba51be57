import type { BackboneFamily, StageSizes } from '../backboneFamily.js';
import { countFromZero } from '../parameterNames.js';
import { EXPANSION, type ResNetConfig, resNet, resNetConfigs, stageStrides } from '../resnet.js';

type Block = ResNetConfig['block'];

/** `widths` are the channels that stages give, after a bottleneck's expansion. */
const ofSizes =
  (block: Block) =>
  ({ depths, widths }: StageSizes): ResNetConfig => {
    const width = widths[0]! / EXPANSION[block];
    if (!Number.isInteger(width) || widths.some((channels, stage) => channels !== widths[0]! * 2 ** stage)) {
      throw new RangeError(
        `a ResNet of ${block} blocks cannot have the widths ${widths.join(', ')}: each is twice the one before, and the ` +
          `first a multiple of ${EXPANSION[block]}`,
      );
    }
    return { family: 'resnet', block, layers: depths, width };
  };

const isOutputStride = (stride: number): stride is 8 | 16 | 32 => [8, 16, 32].includes(stride);

/** ResNet (src/nn/resnet.ts): BatchNorm and dense convolutions. */
export const resNetFamily: BackboneFamily<ResNetConfig> = {
  family: 'resnet',
  title: 'ResNet',
  configs: resNetConfigs,
  ofSizes: { resnet_basic: ofSizes('basic'), resnet_bottleneck: ofSizes('bottleneck') },
  nameOfSizes: ({ block }) => `resnet_${block}`,

  emit: resNet,
  stages(config) {
    const strides = stageStrides(config);
    return config.layers.map((blocks, stage) => ({
      blocks,
      channels: config.width * 2 ** stage * EXPANSION[config.block],
      stride: strides[stage]!,
    }));
  },
  // Padded layers keep the part beyond a whole cell.
  mapCells: (size, stride) => Math.ceil(size / stride),
  dropPathBlocks: () => 0,
  linearEvaluationRate: 0.02,
  headNorm: 'batch',
  trainsChannelMajor: true,
  integerOperators: 'conv',

  /** By dilation of the last stages, with the same weights. */
  withOutputStride(config, stride) {
    if (stride === stageStrides(config).at(-1)) return config;
    const widest = stageStrides({ ...config, outputStride: 32 }).at(-1)!;
    if (!isOutputStride(stride) || stride > widest) {
      const choices = [widest, ...[16, 8].filter((choice) => choice < widest)].join(', ').replace(/, (\d+)$/, ' or $1');
      throw new RangeError(`output stride ${stride}: a ResNet's of ${config.layers.length} stages may be ${choices}`);
    }
    return { ...config, outputStride: stride };
  },

  checkpoints: {
    // torchvision and timm have the authors' names.
    namings: [{ by: 'authors', signature: 'layer1.0.conv1.weight', own: /^layer\d\./ }],
    infer(shapeOf) {
      const has = (name: string) => shapeOf(name) !== undefined;
      const blocks = (stage: number) => countFromZero((block) => has(`layer${stage + 1}.${block}.conv1.weight`));
      const stages = countFromZero((stage) => blocks(stage) > 0);
      return {
        family: 'resnet',
        block: has('layer1.0.conv3.weight') ? 'bottleneck' : 'basic',
        layers: Array.from({ length: stages }, (_, stage) => blocks(stage)),
        width: shapeOf('conv1.weight')?.[0] ?? shapeOf('layer1.0.conv1.weight')?.[0] ?? 0,
      };
    },
  },
};
