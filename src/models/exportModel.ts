import { join } from 'node:path';
import type { FileContent } from '../files/syncedFile.js';
import {
  type BackboneConfig,
  backboneChannels,
  backboneStages,
  backboneStride,
  headNorm,
  layerScaleOf,
  stageSizes,
  withOutputStride,
} from '../nn/backbone.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../nn/pixels.js';
import { encodeModel } from '../onnx/encode.js';
import type { Graph } from '../onnx/graph.js';
import { counted, silentProgress } from '../progress/work.js';
import { requireArchitecture } from './architecture.js';
import { recordCheck } from './check.js';
import type { ExportOptions, ExportSource } from './exportSource.js';
import { type GraphKind, requireFreePlace, writeModelFolder } from './folder.js';
import { CARD_FILE, formCard } from './formCard.js';
import type { Manifest } from './manifest.js';
import { buildGraphs } from './modelGraphs.js';
import { modelInput, modelOutputs, type StageOutput } from './modelOutputs.js';
import { weightSource } from './weightSource.js';
import { layOutWeights, WEIGHTS_FILE } from './weightsFile.js';

const FILES = {
  backbone: 'backbone.onnx',
  localProjector: 'local_projector.onnx',
  expander: 'expander.onnx',
  classifier: 'classifier.onnx',
} as const;

/** Bytes in a unit of progress. */
const MEGABYTE = 1e6;

/** @throws RangeError for a stage that the backbone does not have. */
function stageOutputs(config: BackboneConfig, stages: readonly number[]): StageOutput[] {
  const all = backboneStages(config);
  return [...new Set(stages)]
    .sort((a, b) => a - b)
    .map((stage) => {
      const found = all[stage - 1];
      if (found === undefined) {
        throw new RangeError(`stages: there is no stage ${stage}; choose from 1 to ${all.length}`);
      }
      return { stage, channels: found.channels, stride: found.stride };
    });
}

/**
 * Writes a model folder that the service, the CLI and anyone's ONNX Runtime can load.
 * @throws ParameterError if weights do not fit the architecture, RangeError for an unknown architecture or a variant that it
 *   cannot have, ModelFolderError if the folder exists.
 */
export async function exportModel(dir: string, source: ExportSource, options: ExportOptions): Promise<Manifest> {
  const { quantize, stages = [], force = false, check = true, singleFile = false, progress = silentProgress } = options;
  await requireFreePlace(dir, force);
  const { localProjector, expander, classes, poolingOrder } = source;
  const config =
    options.outputStride === undefined ? source.backbone : withOutputStride(source.backbone, options.outputStride);
  requireArchitecture(source.architecture, config);
  const listed = stageOutputs(config, stages);
  const { graphs, quantization, read } = await buildGraphs(config, source, options);
  const compute = quantize ? 'int8' : (options.compute ?? 'float32');

  const weights = singleFile
    ? undefined
    : layOutWeights(graphs, new Set(weightSource(source.weights).shapes.keys()), read);
  const files = new Map<string, FileContent>(source.files);
  for (const [kind, graph] of Object.entries(graphs) as [GraphKind, Graph][]) {
    const name = kind === 'backbone' ? source.name : kind;
    files.set(FILES[kind], encodeModel(graph, { name, ...(weights && { external: weights.external(kind) }) }));
  }
  if (weights) {
    progress.begin('writing weights', weights.bytes / MEGABYTE, 'MB');
    files.set(
      WEIGHTS_FILE,
      counted(weights.content(), progress, ({ byteLength }) => byteLength / MEGABYTE),
    );
  }
  const stride = backboneStride(config);
  const layerScale = layerScaleOf(config);
  const dims = {
    representation: backboneChannels(config),
    ...(localProjector && { mapsEmbedding: localProjector.at(-1)! }),
    ...(graphs.expander && { embedding: expander!.at(-1)! }),
    ...(classes && { classes }),
  };
  const manifest: Omit<Manifest, 'files'> = {
    schemaVersion: 2,
    name: source.name,
    version: source.version,
    architecture: source.architecture,
    ...stageSizes(config),
    ...(layerScale !== undefined && { layerScale }),
    alpha: source.alpha ?? null,
    stride,
    input: modelInput,
    outputs: modelOutputs(dims, stride, listed),
    dims,
    heads: {
      ...(localProjector && { localProjector: [...localProjector] }),
      ...(expander && { expander: [...expander] }),
      ...(classes && { classifier: classes }),
      norm: headNorm(config),
    },
    ...(poolingOrder && { poolingOrder }),
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
    ...(quantization && { quantization }),
    graphs: {
      backbone: FILES.backbone,
      ...Object.fromEntries(Object.keys(graphs).map((kind) => [kind, FILES[kind as GraphKind]])),
    },
    ...(weights && { weights: WEIGHTS_FILE }),
    license: source.license,
    ...(source.source && { source: source.source }),
    ...(source.evaluation && { evaluation: source.evaluation }),
    training: source.training,
  };
  const card = source.files?.get(CARD_FILE);
  if (source.formOf && card instanceof Uint8Array) {
    files.set(CARD_FILE, new TextEncoder().encode(formCard(new TextDecoder().decode(card), source.formOf, manifest)));
  }
  return writeModelFolder(dir, manifest, files, {
    force,
    ...(check && {
      async complete(written) {
        progress.begin('running the written model', 1, 'images');
        const recorded = await recordCheck(join(written, FILES.backbone), compute);
        progress.advance();
        return { check: recorded };
      },
    }),
  });
}
