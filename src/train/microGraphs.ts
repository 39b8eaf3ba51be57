import { backboneChannels, mapCells } from '../nn/backbone.js';
import { inputParameters, type Parameters, type RankOf } from '../nn/parameters.js';
import { normalisePixels } from '../nn/pixels.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, type Provider, TRAINING_OPSET, type Value } from '../onnx/graph.js';
import { add, mul } from '../onnx/ops/elementwise.js';
import { reduceSum } from '../onnx/ops/reduce.js';
import { dropPathInput } from './dropPath.js';
import type { LoggedGraph } from './loggedTerms.js';
import { lossScaling } from './lossScale.js';
import { forwardView, type ViewForward } from './model.js';
import { productTypeOf } from './precision.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { emitStepLoss } from './stepLoss.js';

/**
 * The step cut into graphs, so that the loss of a batch of B needs the network's memory for M photographs only (gradient
 * cache: Gao et al., arXiv 2101.06983). `embed` gives a view's outputs for M photographs; `loss` the loss of all B and its
 * gradient with respect to these outputs; `backward` computes M photographs again and carries that gradient back to the
 * parameters.
 */

export interface MicroConfig extends StepConfig {
  /** Photographs of one forward pass, M; divides the photographs of a rank, B / ranks. */
  readonly microBatch: number;
  /** This process among those that share the batch. Default: it is the only one. */
  readonly ranks?: RankOf;
}

/** An output of the network that the loss reads and differentiates to. */
export type ViewOutput = 'embedding' | 'mapsEmbedding';

export const microNames = {
  pixels: 'pixels',
  dropPath: 'drop_path',
  representation: 'representation',
  /** An output of embed, of the view that it is run on. */
  output: (output: ViewOutput) => output,
  /** An input of backward: the loss's gradient with respect to that output. */
  seed: (output: ViewOutput) => `seed/${output}`,
  /** An input of backward: the sum of the parameter's gradients so far; stepNames.gradient is the sum with its own. */
  accumulated: (parameter: string) => `accumulated/${parameter}`,
  /** The same of view v, of the whole batch: an input of loss, and its gradient among the outputs. */
  cached: (output: ViewOutput, v: number) => `${output}.${v}`,
} as const;

/** The outputs that the configuration's loss needs. */
export function viewOutputs({ loss: { alpha } }: Pick<StepConfig, 'loss'>): ViewOutput[] {
  return [...(alpha > 0 ? (['embedding'] as const) : []), ...(alpha < 1 ? (['mapsEmbedding'] as const) : [])];
}

interface MicroForward extends ViewForward {
  readonly graph: Graph;
  readonly parameters: Parameters;
}

/** Forward pass of M photographs of a view of `size` pixels. */
function forward(config: MicroConfig, size: number, provider: Provider): MicroForward {
  const { model, microBatch, syncBatchNorm = true } = config;
  const ranks = syncBatchNorm ? config.ranks : undefined;
  const graph = new Graph(TRAINING_OPSET, provider);
  const parameters = inputParameters(graph, { ranks });
  const input = graph.input(microNames.pixels, config.pixels, [microBatch, size, size, 3]);
  const pixels = config.pixels === 'uint8' ? normalisePixels(input) : input;
  const dropPath = config.dropPath
    ? dropPathInput(graph, [microNames.dropPath], microBatch, model.backbone)
    : undefined;
  const view = graph.productsIn(productTypeOf(config), () => forwardView(pixels, model, parameters, dropPath));
  return { graph, parameters, ...view };
}

/** Outputs of M photographs, and the running statistics that they update. */
export function buildEmbed(config: MicroConfig, size: number, provider: Provider = 'cpu'): Graph {
  const { graph, parameters, representation, ...outputs } = forward(config, size, provider);
  graph.output(microNames.representation, representation);
  for (const output of viewOutputs(config)) graph.output(microNames.output(output), outputs[output]!);
  for (const { name, value } of parameters.buffers) graph.output(stepNames.updated(name), value);
  return graph;
}

/**
 * Gradients of M photographs, added to sums that go in and out. Running statistics are not among the outputs: embed
 * updates them.
 */
export function buildBackward(config: MicroConfig, size: number, provider: Provider = 'cpu'): Graph {
  const { graph, parameters, ...outputs } = forward(config, size, provider);
  const values = parameters.specs.map(({ name, shape, initialiser }) => parameters.get(name, shape, initialiser));
  // The gradient of <outputs, seeds> is the product of the seeds with the outputs' Jacobian.
  const products = viewOutputs(config).map((output) => {
    const value = outputs[output]!;
    const seed = graph.input(microNames.seed(output), 'float32', value.shape);
    return reduceSum(mul(value, seed));
  });
  const parameterGradients = gradients(
    products.reduce((sum, product) => add(sum, product)),
    values,
  );
  values.forEach(({ name, shape }, i) => {
    const sum = graph.input(microNames.accumulated(name), 'float32', shape);
    graph.output(stepNames.gradient(name), add(sum, parameterGradients[i]!));
  });
  return graph;
}

/**
 * Loss of the whole batch from the views' cached outputs: the logged terms, the gradient to each of these outputs, and to
 * the online classifier's parameters, which the other graphs do not contain. All gradients are of the scaled loss (lossScale.ts).
 */
export function buildLoss(config: StepConfig, provider: Provider = 'cpu'): LoggedGraph {
  const { model, loss, batchSize, viewSizes } = config;
  const graph = new Graph(TRAINING_OPSET, provider);
  const parameters = inputParameters(graph);
  const wanted: Value[] = [];
  const cached = (output: ViewOutput, v: number, shape: readonly number[]) => {
    const value = graph.input(microNames.cached(output, v), 'float32', shape);
    wanted.push(value);
    return value;
  };
  const views = viewSizes.map((size, v) => {
    const cells = mapCells(model.backbone, size) ** 2;
    return {
      ...(loss.alpha > 0 && { embedding: cached('embedding', v, [batchSize, model.expander!.at(-1)!]) }),
      ...(loss.alpha < 1 && {
        mapsEmbedding: cached('mapsEmbedding', v, [batchSize, cells, model.localProjector!.at(-1)!]),
        locations: graph.input(stepNames.locations(v), 'float32', [batchSize, cells, 2]),
      }),
    };
  });
  const representation = graph.input(microNames.representation, 'float32', [
    batchSize,
    backboneChannels(model.backbone),
  ]);
  const { total, logs } = emitStepLoss(views, representation, parameters, config);
  wanted.push(...parameters.specs.map(({ name, shape, initialiser }) => parameters.get(name, shape, initialiser)));
  gradients(lossScaling(graph, config).scaled(total), wanted).forEach((gradient, i) => {
    graph.output(stepNames.gradient(wanted[i]!.name), gradient);
  });
  for (const [name, value] of logs) graph.output(name, value);
  return { graph, logs: [...logs.keys()] };
}

/** Inputs of the loss graph that the passes of embed fill: the views' outputs and view 0's representation. */
export function cachedInputs(
  config: StepConfig,
  loss: Graph,
): { readonly name: string; readonly shape: readonly number[] }[] {
  const outputs = config.viewSizes.flatMap((_, v) => viewOutputs(config).map((output) => microNames.cached(output, v)));
  const cached = new Set([...outputs, microNames.representation]);
  return loss.inputs
    .filter(({ name }) => cached.has(name))
    .map(({ name, shape }) => ({ name, shape: shape as readonly number[] }));
}
