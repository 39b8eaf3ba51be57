import { type BackboneConfig, integerOperators } from '../nn/backbone.js';
import { foldConstants } from '../onnx/foldConstants.js';
import type { Graph } from '../onnx/graph.js';
import { silentProgress } from '../progress/work.js';
import { float32ToFloat16 } from '../tensor/float16.js';
import { type Tensor, type TensorType, tensor } from '../tensor/tensor.js';
import type { ExportOptions, ExportSource } from './exportSource.js';
import type { GraphKind } from './folder.js';
import { halfCompute } from './halfCompute.js';
import {
  backboneGraph,
  classifierGraph,
  expanderGraph,
  localProjectorGraph,
  type ModelGraphs,
} from './inferenceGraphs.js';
import type { Manifest } from './manifest.js';
import { foldAffineAfter } from './quantize/foldAffine.js';
import { quantizeGraphs } from './quantize/quantizeGraphs.js';
import { readAllWeights, weightSource } from './weightSource.js';

/** The graphs of a variant, before they are written. */
export interface BuiltGraphs {
  readonly graphs: ModelGraphs;
  readonly quantization?: NonNullable<Manifest['quantization']>;
  /** Elements of a parameter as the variant stores it, for graphs that have it as an input. */
  readonly read: (name: string) => Promise<Tensor>;
}

async function inHalves(graphs: ModelGraphs): Promise<ModelGraphs> {
  const halves: Partial<Record<GraphKind, Graph>> = {};
  for (const [kind, graph] of Object.entries(graphs) as [GraphKind, Graph][]) {
    halves[kind] = halfCompute(foldAffineAfter(await foldConstants(graph)));
  }
  return halves as ModelGraphs;
}

/** Matrices and kernels in halves; vectors (biases, norms) stay as they are. */
function asStored(value: Tensor, precision: ExportOptions['precision']): Tensor {
  if (precision === 'float32' || value.dtype !== 'float32' || value.shape.length < 2) return value;
  return tensor('float16', value.shape, float32ToFloat16(value.data as Float32Array));
}

/**
 * Builds the graphs of a variant. Where weights are only stored (float32 arithmetic, a file of their own), the graphs take
 * them as inputs and no weight is read; else all are read and stand in the graphs as constants.
 * @throws ParameterError where weights do not fit the architecture.
 */
export async function buildGraphs(
  config: BackboneConfig,
  source: ExportSource,
  { precision, compute, quantize, stages = [], singleFile = false, progress = silentProgress }: ExportOptions,
): Promise<BuiltGraphs> {
  const weights = weightSource(source.weights);
  const kept = quantize === undefined ? precision : 'float32';
  const read = async (name: string) => asStored(await weights.read(name), kept);
  const streamed = !singleFile && quantize === undefined && compute !== 'float16';
  const typeOf = (shape: readonly number[]): TensorType => ({
    dtype: kept === 'float16' && shape.length > 1 ? 'float16' : 'float32',
    shape,
  });
  const known: ReadonlyMap<string, Tensor | TensorType> = streamed
    ? new Map([...weights.shapes].map(([name, shape]) => [name, typeOf(shape)]))
    : new Map([...(await readAllWeights(weights))].map(([name, value]) => [name, asStored(value, kept)]));

  const { localProjector, expander, writeExpander = true, classes, poolingOrder } = source;
  const float: ModelGraphs = {
    backbone: backboneGraph(config, known, { stages, poolingOrder }),
    ...(localProjector && { localProjector: localProjectorGraph(config, localProjector, known) }),
    ...(expander && writeExpander && { expander: expanderGraph(config, expander, known) }),
    ...(classes && { classifier: classifierGraph(config, classes, known) }),
  };
  if (quantize !== undefined) {
    const { graphs, record } = await quantizeGraphs(float, integerOperators(config), quantize, progress);
    return { graphs, quantization: record, read };
  }
  return { graphs: compute === 'float16' ? await inHalves(float) : float, read };
}
