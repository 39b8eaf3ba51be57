import { dropPathBlocks, mapCells } from '../nn/backbone.js';
import { dropPathFrom } from '../nn/convnext.js';
import { linearLayer } from '../nn/layers.js';
import { inputParameters, type ParameterSpec, type Parameters } from '../nn/parameters.js';
import { normalisePixels } from '../nn/pixels.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, type Value } from '../onnx/graph.js';
import { add, stopGradient } from '../onnx/ops/elementwise.js';
import { reshape, slice } from '../onnx/ops/shape.js';
import { type LossConfig, vicreglLoss } from '../vicregl/loss.js';
import { crossEntropy, meanCorrelation, normalisedStd, topAccuracy } from '../vicregl/monitors.js';
import { forwardView, type ModelConfig } from './model.js';
import type { Optimizer } from './optimizer.js';

/** The whole training step as one graph: forward of all views, loss, gradients and the optimizer's update. */

export interface StepConfig {
  readonly model: ModelConfig;
  readonly loss: LossConfig;
  readonly optimizer: Optimizer;
  readonly batchSize: number;
  /** Side of each view in pixels, in view order. */
  readonly viewSizes: readonly number[];
  /** uint8 pixels are normalised in the graph; float32 ones are taken as normalised. */
  readonly pixels: 'uint8' | 'float32';
  /** Residual branches are scaled by an input [B, blocks] per view. */
  readonly dropPath: boolean;
  /** Classes of the online classifier on the detached representation of view 0; none when absent. */
  readonly classes?: number;
}

export interface StepGraph {
  readonly graph: Graph;
  readonly parameters: readonly ParameterSpec[];
  /** Running statistics: part of the state, not trained. */
  readonly buffers: readonly ParameterSpec[];
  /** Scalars among the outputs, in the order in which they are logged. */
  readonly logs: readonly string[];
}

/** Names of the graph's inputs and outputs. */
export const stepNames = {
  view: (v: number) => `view.${v}`,
  locations: (v: number) => `locations.${v}`,
  dropPath: (v: number) => `drop_path.${v}`,
  labels: 'labels',
  state: (slot: string, parameter: string) => `${slot}/${parameter}`,
  updated: (input: string) => `${input}/updated`,
  gradient: (parameter: string) => `gradient/${parameter}`,
} as const;

/**
 * Builds the step.
 * @param options.gradients declares the gradients as outputs too (for tests).
 */
export function buildStep(config: StepConfig, options: { readonly gradients?: boolean } = {}): StepGraph {
  const { model, loss, batchSize, viewSizes, classes } = config;
  const graph = new Graph();
  const parameters = inputParameters(graph);

  const views = viewSizes.map((size, v) => {
    const input = graph.input(stepNames.view(v), config.pixels, [batchSize, size, size, 3]);
    const pixels = config.pixels === 'uint8' ? normalisePixels(input) : input;
    const dropPath = config.dropPath ? dropPathFrom(dropPathScales(graph, config, v)) : undefined;
    const forward = graph.scope(`view${v}`, () => forwardView(pixels, model, parameters, dropPath));
    const cells = mapCells(model.backbone, size) ** 2;
    const locations =
      loss.alpha < 1 ? graph.input(stepNames.locations(v), 'float32', [batchSize, cells, 2]) : undefined;
    return { ...forward, ...(locations && { locations }) };
  });

  const terms = graph.scope('loss', () => vicreglLoss(views, loss));
  const logs = new Map<string, Value>();
  for (const [term, short] of [
    ['invariance', 'inv'],
    ['variance', 'var'],
    ['covariance', 'cov'],
  ] as const) {
    if (terms.global) logs.set(`${short}_l`, terms.global[term]);
    if (terms.local) logs.set(`m${short}_l`, terms.local[term]);
  }

  let total = terms.total;
  const first = views[0]!;
  if (classes !== undefined) {
    const labels = graph.input(stepNames.labels, 'int64', [batchSize]);
    const logits = linearLayer(stopGradient(first.representation), parameters, 'classifier', classes);
    const classification = crossEntropy(logits, labels);
    logs.set('cls_l', classification);
    logs.set('top1', topAccuracy(logits, labels, 1));
    logs.set('top5', topAccuracy(logits, labels, 5));
    total = add(total, classification);
  }
  logs.set('l', total);
  logs.set('stdr', normalisedStd(first.representation));
  logs.set('corr', meanCorrelation(first.representation));
  if (first.embedding) {
    logs.set('stde', normalisedStd(first.embedding));
    logs.set('core', meanCorrelation(first.embedding));
  }
  for (const [name, value] of logs) graph.output(name, value);

  emitUpdates(total, parameters, config.optimizer, options.gradients ?? false);
  for (const { name, value } of parameters.buffers) graph.output(stepNames.updated(name), value);
  return { graph, parameters: parameters.specs, buffers: parameters.buffers, logs: [...logs.keys()] };
}

/** One [B, 1, 1, 1] scale per block, from the view's input [B, blocks]. */
function dropPathScales(graph: Graph, { model, batchSize }: StepConfig, view: number): Value[] {
  const blocks = dropPathBlocks(model.backbone);
  const scales = graph.input(stepNames.dropPath(view), 'float32', [batchSize, blocks]);
  return Array.from({ length: blocks }, (_, block) =>
    reshape(slice(scales, [{ axis: 1, start: block, end: block + 1 }]), [batchSize, 1, 1, 1]),
  );
}

function emitUpdates(total: Value, parameters: Parameters, optimizer: Optimizer, withGradients: boolean): void {
  const { graph } = parameters;
  const values = parameters.specs.map(({ name, shape, initialiser }) => parameters.get(name, shape, initialiser));
  const parameterGradients = gradients(total, values);
  const scalars = Object.fromEntries(optimizer.scalars.map((name) => [name, graph.input(name, 'float32', [])]));
  values.forEach((value, i) => {
    const gradient = parameterGradients[i]!;
    if (withGradients) graph.output(stepNames.gradient(value.name), gradient);
    const state = Object.fromEntries(
      optimizer.slots.map((slot) => [slot, graph.input(stepNames.state(slot, value.name), 'float32', value.shape)]),
    );
    const next = graph.scope('optimizer', () => optimizer.update(value, gradient, state, scalars));
    graph.output(stepNames.updated(value.name), next.parameter);
    for (const slot of optimizer.slots) {
      graph.output(stepNames.updated(stepNames.state(slot, value.name)), next.state[slot]!);
    }
  });
}
