import type { FileContent } from '../files/syncedFile.js';
import type { BackboneConfig } from '../nn/backbone.js';
import type { WorkProgress } from '../progress/work.js';
import type { Manifest } from './manifest.js';
import type { QuantizePlan } from './quantize/quantizeGraphs.js';
import type { Weights } from './weightSource.js';

/** A trained network, to be written as a model folder. */
export interface ExportSource {
  readonly name: string;
  readonly version: string;
  /** Name of the backbone, such as convnext_atto. */
  readonly architecture: string;
  readonly backbone: BackboneConfig;
  /** Widths of the heads that training had. */
  readonly expander?: readonly number[];
  readonly localProjector?: readonly number[];
  /** Whether the expander's graph is written too; serving seldom needs it. Default true. */
  readonly writeExpander?: boolean;
  /** Classes of a linear classifier of the representation. */
  readonly classes?: number;
  /** Pooling order of a ConvNeXt's representation. Absent: the mean of the normalised map. */
  readonly poolingOrder?: NonNullable<Manifest['poolingOrder']>;
  /** Weight of the global loss in training; undefined if unknown, or if the network was trained in another way. */
  readonly alpha: number | undefined;
  /**
   * float32 weights under the names of the authors' checkpoints (`backbone.`, `projector.`, `maps_projector.`,
   * `classifier.`).
   */
  readonly weights: Weights;
  readonly license: string;
  readonly training: Manifest['training'];
  /** The file that the weights came from. */
  readonly source?: Manifest['source'];
  readonly evaluation?: Manifest['evaluation'];
  /** The model whose weights these are, where a model is written in another form. */
  readonly formOf?: Pick<Manifest, 'name' | 'version' | 'precision'>;
  /** Further files of the folder: card, configuration, log, pictures. A card is bytes. */
  readonly files?: ReadonlyMap<string, FileContent>;
}

/** The form in which a model is written; all forms have the same weights. */
export interface Variant {
  /** float16 stores matrices and kernels in half the bytes; vectors (biases, norms) stay float32. */
  readonly precision: 'float32' | 'float16';
  /** float16: matrix products and convolutions in half precision, for CUDA; norms and means stay float32. Default float32. */
  readonly compute?: 'float32' | 'float16';
  /** Input pixels from one cell to the next: 32, 16 or 8 for a ResNet, by dilation. Default: as trained. */
  readonly outputStride?: number;
  /** Stages, counted from 1, whose maps are outputs too. */
  readonly stages?: readonly number[];
  /** 8-bit weights and activations; precision and compute then do not apply. */
  readonly quantize?: QuantizePlan;
  /** Weights inside the graphs (under 2 GiB each) instead of in a safetensors file beside them. */
  readonly singleFile?: boolean;
}

export interface ExportOptions extends Variant {
  readonly force?: boolean;
  /** Runs the backbone once and records its output in the manifest (see check.ts). Default true. */
  readonly check?: boolean;
  readonly progress?: WorkProgress;
}
