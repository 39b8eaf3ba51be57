import { type BackboneConfig, integerOperators } from '../nn/backbone.js';
import { ParameterError } from '../nn/parameters.js';
import { foldConstants } from '../onnx/foldConstants.js';
import type { Graph } from '../onnx/graph.js';
import { silentProgress } from '../progress/work.js';
import { firstNonFinite } from '../tensor/finite.js';
import { float16Within, LARGEST_FLOAT16 } from '../tensor/float16.js';
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
  /** Reads a parameter as the variant stores it, for graphs that have it as an input. */
  readonly read: (name: string) => Promise<Tensor>;
}

async function inFloat16(graphs: ModelGraphs): Promise<ModelGraphs> {
  const converted: Partial<Record<GraphKind, Graph>> = {};
  for (const [kind, graph] of Object.entries(graphs) as [GraphKind, Graph][]) {
    converted[kind] = halfCompute(foldAffineAfter(await foldConstants(graph)));
  }
  return converted as ModelGraphs;
}

/**
 * Matrices and kernels as float16 if the precision says so; vectors (biases, norms) stay float32.
 * @throws ParameterError for an element that is not finite, or that float16 cannot hold.
 */
function asStored(name: string, value: Tensor, precision: ExportOptions['precision']): Tensor {
  const bad = firstNonFinite(value);
  if (bad !== undefined) {
    throw new ParameterError(`element ${bad.index} of the weight ${name} is ${bad.value}; is the file damaged?`);
  }
  if (precision === 'float32' || value.dtype !== 'float32' || value.shape.length < 2) return value;
  const halves = float16Within(
    value.data as Float32Array,
    (i, element) =>
      new ParameterError(
        `precision: element ${i} of ${name} is ${element}, and float16 reaches ${LARGEST_FLOAT16}; use float32`,
      ),
  );
  return tensor('float16', value.shape, halves);
}

/**
 * Builds the graphs of a variant. With float32 arithmetic and weights in a file of their own, parameters are inputs of the
 * graphs and no weight is read. Otherwise all weights are read and become constants.
 * @throws ParameterError if weights do not fit the architecture, or one is not finite.
 */
export async function buildGraphs(
  config: BackboneConfig,
  source: ExportSource,
  { precision, compute, quantize, stages = [], singleFile = false, progress = silentProgress }: ExportOptions,
): Promise<BuiltGraphs> {
  const weights = weightSource(source.weights);
  const kept = quantize === undefined ? precision : 'float32';
  const read = async (name: string) => asStored(name, await weights.read(name), kept);
  const streamed = !singleFile && quantize === undefined && compute !== 'float16';
  const typeOf = (shape: readonly number[]): TensorType => ({
    dtype: kept === 'float16' && shape.length > 1 ? 'float16' : 'float32',
    shape,
  });
  const known: ReadonlyMap<string, Tensor | TensorType> = streamed
    ? new Map([...weights.shapes].map(([name, shape]) => [name, typeOf(shape)]))
    : new Map([...(await readAllWeights(weights))].map(([name, value]) => [name, asStored(name, value, kept)]));

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
  return { graphs: compute === 'float16' ? await inFloat16(float) : float, read };
}
