import {
  type BackboneConfig,
  backboneChannels,
  backboneStride,
  headNorm,
  layerScaleOf,
  stageSizes,
} from '../nn/backbone.js';
import { IMAGENET_MEAN, IMAGENET_STD } from '../nn/pixels.js';
import { encodeModel } from '../onnx/encode.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import { writeModelFolder } from './folder.js';
import { backboneGraph, expanderGraph, localProjectorGraph } from './inferenceGraphs.js';
import type { Manifest } from './manifest.js';

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
  /** Further files of the folder: configuration, log, pictures. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

export interface ExportOptions {
  /** float16 stores matrices and kernels in half the bytes; vectors (biases, norms) stay float32, as does the arithmetic. */
  readonly precision: Manifest['precision'];
  readonly force?: boolean;
}

const FILES = { backbone: 'backbone.onnx', localProjector: 'local_projector.onnx', expander: 'expander.onnx' } as const;

function stored(weights: ReadonlyMap<string, Tensor>, precision: Manifest['precision']): ReadonlyMap<string, Tensor> {
  if (precision === 'float32') return weights;
  return new Map(
    [...weights].map(([name, value]) =>
      value.dtype === 'float32' && value.shape.length > 1
        ? [name, tensor('float16', value.shape, float32ToFloat16(value.data as Float32Array))]
        : [name, value],
    ),
  );
}

/**
 * Writes a model folder that the service, the CLI and anyone's ONNX Runtime can load.
 * @throws ParameterError where weights do not fit the architecture, ModelFolderError where the folder exists.
 */
export async function exportModel(
  dir: string,
  source: ExportSource,
  { precision, force = false }: ExportOptions,
): Promise<Manifest> {
  const { backbone, localProjector, expander } = source;
  const written = source.writeExpander === false ? undefined : expander;
  const weights = stored(source.weights, precision);
  const channels = backboneChannels(backbone);
  const layerScale = layerScaleOf(backbone);
  const files = new Map(source.files);
  files.set(FILES.backbone, encodeModel(backboneGraph(backbone, weights), { name: source.name }));
  if (localProjector)
    files.set(FILES.localProjector, encodeModel(localProjectorGraph(backbone, localProjector, weights)));
  if (written) files.set(FILES.expander, encodeModel(expanderGraph(backbone, written, weights)));
  const manifest: Omit<Manifest, 'files'> = {
    schemaVersion: 1,
    name: source.name,
    version: source.version,
    architecture: source.architecture,
    ...stageSizes(backbone),
    ...(layerScale !== undefined && { layerScale }),
    alpha: source.alpha,
    stride: backboneStride(backbone),
    dims: {
      representation: channels,
      ...(localProjector && { mapsEmbedding: localProjector.at(-1)! }),
      ...(written && { embedding: written.at(-1)! }),
    },
    heads: {
      ...(localProjector && { localProjector: [...localProjector] }),
      ...(expander && { expander: [...expander] }),
      norm: headNorm(backbone),
    },
    // The paper's evaluation protocol.
    preprocessing: {
      mean: [...IMAGENET_MEAN],
      std: [...IMAGENET_STD],
      resize: 256,
      crop: 224,
      interpolation: 'bicubic',
    },
    precision,
    graphs: {
      backbone: FILES.backbone,
      ...(localProjector && { localProjector: FILES.localProjector }),
      ...(written && { expander: FILES.expander }),
    },
    license: source.license,
    training: source.training,
  };
  return writeModelFolder(dir, manifest, files, { force });
}
