import {
  type BackboneConfig,
  backboneChannels,
  backboneStride,
  headNorm,
  isConvolutional,
  layerScaleOf,
  stageSizes,
  stageStrides,
  withOutputStride,
} from '../nn/backbone.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../nn/pixels.js';
import { encodeModel } from '../onnx/encode.js';
import { foldConstants } from '../onnx/foldConstants.js';
import type { Graph } from '../onnx/graph.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { recordCheck } from './check.js';
import { type GraphKind, writeModelFolder } from './folder.js';
import { halfCompute } from './halfCompute.js';
import { backboneGraph, expanderGraph, localProjectorGraph } from './inferenceGraphs.js';
import type { Manifest } from './manifest.js';
import { modelInput, modelOutputs, type StageOutput } from './modelOutputs.js';
import { foldAffineAfter } from './quantize/foldAffine.js';
import { type QuantizePlan, quantizeGraphs } from './quantize/quantizeGraphs.js';

/** A trained network on its way to a model folder. */
export interface ExportSource {
  readonly name: string;
  readonly version: string;
  /** Name of the backbone, such as convnext_atto. */
  readonly architecture: string;
  readonly backbone: BackboneConfig;
  /** Widths of the heads that training had. */
  readonly expander?: readonly number[];
  readonly localProjector?: readonly number[];
  /** Whether the expander's graph is written too; serving seldom needs it. */
  readonly writeExpander?: boolean;
  readonly alpha: number;
  /** float32 weights under the names of the authors' checkpoints (`backbone.`, `projector.`, `maps_projector.`). */
  readonly weights: ReadonlyMap<string, Tensor>;
  readonly license: string;
  readonly training: Manifest['training'];
  /** The file that the weights came from. */
  readonly source?: Manifest['source'];
  readonly evaluation?: Manifest['evaluation'];
  /** Further files of the folder: configuration, log, pictures. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

/** How a model is written; the weights are the same in all of them. */
export interface Variant {
  /** float16 stores matrices and kernels in half the bytes; vectors (biases, norms) stay float32. */
  readonly precision: 'float32' | 'float16';
  /** float16: matrix products and convolutions in halves, for CUDA; norms and means stay float32. Default float32. */
  readonly compute?: 'float32' | 'float16';
  /** Input pixels from one cell to the next: 32, 16 or 8 for a ResNet, by dilation. Default: as trained. */
  readonly outputStride?: number;
  /** Stages, counted from 1, whose maps are outputs too. */
  readonly stages?: readonly number[];
  /** 8-bit weights and activations in place of the above. */
  readonly quantize?: QuantizePlan;
}

export interface ExportOptions extends Variant {
  readonly force?: boolean;
  /** Runs the backbone once and records its answer in the manifest (see check.ts). Default true. */
  readonly check?: boolean;
}

const FILES = { backbone: 'backbone.onnx', localProjector: 'local_projector.onnx', expander: 'expander.onnx' } as const;

function stored(weights: ReadonlyMap<string, Tensor>, precision: Variant['precision']): ReadonlyMap<string, Tensor> {
  if (precision === 'float32') return weights;
  return new Map(
    [...weights].map(([name, value]) =>
      value.dtype === 'float32' && value.shape.length > 1
        ? [name, tensor('float16', value.shape, float32ToFloat16(value.data as Float32Array))]
        : [name, value],
    ),
  );
}

/** @throws RangeError for a stage that the backbone does not have. */
function stageOutputs(config: BackboneConfig, stages: readonly number[]): StageOutput[] {
  const { widths } = stageSizes(config);
  const strides = stageStrides(config);
  return [...new Set(stages)]
    .sort((a, b) => a - b)
    .map((stage) => {
      const channels = widths[stage - 1];
      if (channels === undefined)
        throw new RangeError(`stages: there is no stage ${stage}; choose from 1 to ${widths.length}`);
      return { stage, channels, stride: strides[stage - 1]! };
    });
}

type Graphs = { readonly [kind in GraphKind]?: Graph } & { readonly backbone: Graph };

async function inHalves(graphs: Graphs): Promise<Graphs> {
  const entries = Object.entries(graphs).map(
    async ([kind, graph]) => [kind, halfCompute(foldAffineAfter(await foldConstants(graph)))] as const,
  );
  return Object.fromEntries(await Promise.all(entries)) as Graphs;
}

/**
 * Writes a model folder that the service, the CLI and anyone's ONNX Runtime can load.
 * @throws ParameterError where weights do not fit the architecture, RangeError for a variant that the architecture cannot
 *   have, ModelFolderError where the folder exists.
 */
export async function exportModel(dir: string, source: ExportSource, options: ExportOptions): Promise<Manifest> {
  const { quantize, stages = [], force = false, check = true } = options;
  const { localProjector, expander } = source;
  const config =
    options.outputStride === undefined ? source.backbone : withOutputStride(source.backbone, options.outputStride);
  const listed = stageOutputs(config, stages);
  const written = source.writeExpander === false ? undefined : expander;
  const weights = stored(source.weights, quantize === undefined ? options.precision : 'float32');
  const float: Graphs = {
    backbone: backboneGraph(config, weights, { stages }),
    ...(localProjector && { localProjector: localProjectorGraph(config, localProjector, weights) }),
    ...(written && { expander: expanderGraph(config, written, weights) }),
  };
  const quantized = quantize && (await quantizeGraphs(float, isConvolutional(config) ? 'conv' : 'gemm', quantize));
  const graphs = quantized?.graphs ?? (options.compute === 'float16' ? await inHalves(float) : float);
  const compute = quantize ? 'int8' : (options.compute ?? 'float32');

  const files = new Map(source.files);
  for (const [kind, graph] of Object.entries(graphs) as [GraphKind, Graph][]) {
    files.set(FILES[kind], encodeModel(graph, { name: kind === 'backbone' ? source.name : kind }));
  }
  const stride = backboneStride(config);
  const layerScale = layerScaleOf(config);
  const dims = {
    representation: backboneChannels(config),
    ...(localProjector && { mapsEmbedding: localProjector.at(-1)! }),
    ...(written && { embedding: written.at(-1)! }),
  };
  const manifest: Omit<Manifest, 'files'> = {
    schemaVersion: 2,
    name: source.name,
    version: source.version,
    architecture: source.architecture,
    ...stageSizes(config),
    ...(layerScale !== undefined && { layerScale }),
    alpha: source.alpha,
    stride,
    input: modelInput,
    outputs: modelOutputs(dims, stride, listed),
    dims,
    heads: {
      ...(localProjector && { localProjector: [...localProjector] }),
      ...(expander && { expander: [...expander] }),
      norm: headNorm(config),
    },
    // The paper's evaluation protocol.
    preprocessing: {
      mean: [...IMAGENET_MEAN],
      std: [...IMAGENET_STD],
      resize: 256,
      crop: 224,
      interpolation: 'bicubic',
    },
    precision: quantize ? 'int8' : compute === 'float16' ? 'float16' : options.precision,
    compute,
    ...(quantized && { quantization: quantized.record }),
    ...(check && { check: await recordCheck(files.get(FILES.backbone)!, compute) }),
    graphs: {
      backbone: FILES.backbone,
      ...(localProjector && { localProjector: FILES.localProjector }),
      ...(written && { expander: FILES.expander }),
    },
    license: source.license,
    ...(source.source && { source: source.source }),
    ...(source.evaluation && { evaluation: source.evaluation }),
    training: source.training,
  };
  return writeModelFolder(dir, manifest, files, { force });
}
