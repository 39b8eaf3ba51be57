import { mapCells } from '../nn/backbone.js';
import { inputParameters } from '../nn/parameters.js';
import { gradients } from '../onnx/gradients.js';
import { Graph, type Provider, TRAINING_OPSET, type Value } from '../onnx/graph.js';
import { emitUpdates } from '../optim/updates.js';
import { clipScale, GRADIENT_NORM, globalNorm, scaledGradients } from './clip.js';
import { forwardViews } from './forwardViews.js';
import type { LoggedGraph, Term } from './loggedTerms.js';
import { lossScaling } from './lossScale.js';
import type { NetworkSpecs } from './networkSpecs.js';
import { type StepConfig, stepNames } from './stepConfig.js';
import { emitStepLoss } from './stepLoss.js';

/** The whole training step as one graph: forward of all views, loss, gradients and the optimizer's update. */

export interface StepGraph extends NetworkSpecs, LoggedGraph {}

/**
 * Builds the step.
 * @param options.provider that will run it; the CPU's by default.
 * @param options.gradients declares the gradients, before clipping, as outputs too (for tests).
 */
export function buildStep(
  config: StepConfig,
  options: { readonly provider?: Provider; readonly gradients?: boolean } = {},
): StepGraph {
  const { model, loss, batchSize, viewSizes } = config;
  const graph = new Graph(TRAINING_OPSET, options.provider);
  const parameters = inputParameters(graph);

  const views = forwardViews(config, parameters).map((forward, v) => {
    const cells = mapCells(model.backbone, viewSizes[v]!) ** 2;
    const locations =
      loss.alpha < 1 ? graph.input(stepNames.locations(v), 'float32', [batchSize, cells, 2]) : undefined;
    return { ...forward, ...(locations && { locations }) };
  });

  const { total, logs: terms } = emitStepLoss(views, views[0]!.representation, parameters, config);
  const values = parameters.specs.map(({ name, shape, initialiser }) => parameters.get(name, shape, initialiser));
  const { scaled, unscaled, settle } = lossScaling(graph, config);
  const parameterGradients = gradients(scaled(total), values).map((gradient, i) => ({
    value: values[i]!,
    gradient: unscaled(gradient),
  }));
  const norm = globalNorm(parameterGradients);
  const { finite, terms: scaleTerms } = settle(norm);
  const logs = new Map<Term, Value>([...terms, [GRADIENT_NORM, norm], ...scaleTerms]);
  for (const [name, value] of logs) graph.output(name, value);

  const { clipNorm, optimizer } = config;
  emitUpdates(
    clipNorm === undefined ? parameterGradients : scaledGradients(parameterGradients, clipScale(norm, clipNorm)),
    optimizer,
    finite,
  );
  if (options.gradients) {
    for (const { value, gradient } of parameterGradients) graph.output(stepNames.gradient(value.name), gradient);
  }
  for (const { name, value } of parameters.buffers) graph.output(stepNames.updated(name), value);
  return { graph, parameters: parameters.specs, buffers: parameters.buffers, logs: [...logs.keys()] };
}
