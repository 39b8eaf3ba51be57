import { linearLayer } from '../nn/layers.js';
import type { Parameters } from '../nn/parameters.js';
import type { Value } from '../onnx/graph.js';
import { stopGradient } from '../onnx/ops/differentiation.js';
import { add } from '../onnx/ops/elementwise.js';
import { reshape } from '../onnx/ops/shape.js';
import type { TermName } from '../vicregl/criterion.js';
import { type ViewOutputs, vicreglLoss } from '../vicregl/loss.js';
import { crossEntropy, meanCorrelation, normalisedStd, topAccuracy } from '../vicregl/monitors.js';
import type { Term } from './loggedTerms.js';
import { type StepConfig, stepNames } from './stepConfig.js';

/** The scalar that a step minimises, and its logged terms. */
export interface StepLoss {
  /** The method's loss, with the online classifier's where there is one. */
  readonly total: Value;
  /** Scalars by name, in the order in which they are logged (docs/method.md, What is logged). */
  readonly logs: ReadonlyMap<Term, Value>;
}

/** Names of terms in the log; those of the local loss have the prefix m. */
const LOG_NAMES = {
  invariance: 'inv',
  variance: 'var',
  covariance: 'cov',
  contrast: 'nce',
} as const satisfies Readonly<Record<TermName, string>>;

/**
 * Emits loss, online classifier and monitors of a whole batch.
 * @param views in view order.
 * @param representation of view 0, [B, C].
 */
export function emitStepLoss(
  views: readonly ViewOutputs[],
  representation: Value,
  parameters: Parameters,
  { loss, batchSize, classes }: StepConfig,
): StepLoss {
  const { graph } = representation;
  const terms = graph.scope('loss', () => vicreglLoss(views, loss));
  const logs = new Map<Term, Value>();
  for (const [prefix, own] of [
    ['', terms.global],
    ['m', terms.local],
  ] as const) {
    for (const [term, value] of Object.entries(own ?? {})) logs.set(`${prefix}${LOG_NAMES[term as TermName]}_l`, value);
  }

  let { total } = terms;
  if (classes !== undefined) {
    const labels = graph.input(stepNames.labels, 'int64', [batchSize]);
    const logits = linearLayer(stopGradient(representation), parameters, 'classifier', classes);
    const classification = crossEntropy(logits, labels);
    logs.set('cls_l', classification);
    logs.set('top1', topAccuracy(logits, labels, 1));
    logs.set('top5', topAccuracy(logits, labels, 5));
    total = add(total, classification);
  }
  logs.set('l', total);
  logs.set('stdr', normalisedStd(representation));
  logs.set('corr', meanCorrelation(representation));
  const { embedding, mapsEmbedding } = views[0]!;
  if (embedding) {
    logs.set('stde', normalisedStd(embedding));
    logs.set('core', meanCorrelation(embedding));
  }
  if (mapsEmbedding) {
    // Every cell of every photograph is one vector.
    const cells = reshape(mapsEmbedding, [-1, mapsEmbedding.shape.at(-1) as number]);
    logs.set('stdm', normalisedStd(cells));
    logs.set('corm', meanCorrelation(cells));
  }
  return { total, logs };
}
