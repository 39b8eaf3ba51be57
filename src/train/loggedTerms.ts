import type { Graph } from '../onnx/graph.js';

/**
 * What a run logs in addition to the step number, in the order in which it is shown. Each term is declared here once: its group
 * (TensorBoard's tags, and whether it is summarised and compared), its panel in the curves, and its row in
 * docs/method.md, which `npm run docs` writes, and whether larger or smaller values are better.
 */

/** Panels of a run's curves in their order, with whether the value axis begins at zero. */
export const PANELS = {
  total: { title: 'total loss', zero: false },
  global: { title: 'global terms (weighted)', zero: true },
  local: { title: 'local terms (weighted)', zero: true },
  collapse: { title: 'collapse monitors (std of normalised vectors)', zero: true },
  redundancy: { title: 'redundancy monitors (mean correlation)', zero: true },
  gradient: { title: 'gradient norm (before clipping)', zero: true },
  classifierLoss: { title: 'classifiers (cross-entropy)', zero: true },
  accuracy: { title: 'classifiers (accuracy)', zero: true },
} as const;

export type Panel = keyof typeof PANELS;

export interface LoggedTerm {
  /**
   * Its group of TensorBoard's tags. Terms of all groups but `run` are averaged in a run's summary and are in
   * `runs compare`.
   */
  readonly group: 'loss' | 'monitor' | 'accuracy' | 'run';
  /** The panel of the curves that draws it; none for terms that only describe progress. */
  readonly panel: Panel | undefined;
  /** Which values are better, for the best checkpoint; undefined for a term that says nothing about quality. */
  readonly better: Direction | undefined;
  readonly what: string;
}

/** The values of a term that are better: the smallest or the largest. */
export type Direction = 'min' | 'max';

const loss = (panel: Panel, what: string) => ({ group: 'loss', panel, better: 'min', what }) as const;
const monitor = (panel: Panel, better: Direction | undefined, what: string) =>
  ({ group: 'monitor', panel, better, what }) as const;
const accuracy = (what: string) => ({ group: 'accuracy', panel: 'accuracy', better: 'max', what }) as const;
const run = (what: string) => ({ group: 'run', panel: undefined, better: undefined, what }) as const;

const table = {
  l: loss('total', "total, with the online classifier's loss where there is one"),
  inv_l: loss('global', 'invariance of the global loss with its weight (25), before alpha'),
  var_l: loss('global', 'variance of the global loss with its weight (25), before alpha'),
  cov_l: loss('global', 'covariance of the global loss with its weight (1), before alpha'),
  nce_l: loss('global', 'NT-Xent of the global loss, in place of the three terms above, with `loss.criterion: simclr`'),
  minv_l: loss('local', 'invariance of the local loss with its weight, before 1 - alpha'),
  mvar_l: loss('local', 'variance of the local loss with its weight, before 1 - alpha'),
  mcov_l: loss('local', 'covariance of the local loss with its weight, before 1 - alpha'),
  mnce_l: loss('local', 'NT-Xent of the local loss, in place of the three terms above, with `loss.criterion: simclr`'),
  stdr: monitor(
    'collapse',
    'max',
    'collapse monitor: std over the batch of the L2-normalised representation of view 0, mean over channels. Near 1/sqrt(channels) when healthy, near 0 when collapsed',
  ),
  stde: monitor('collapse', 'max', 'collapse monitor of the embedding (with a global loss)'),
  stdm: monitor(
    'collapse',
    'max',
    'collapse monitor of the map embedding (with a local loss): each cell of each photograph is one vector of B x P',
  ),
  corr: monitor(
    'redundancy',
    'min',
    'redundancy monitor: mean off-diagonal correlation of the representation of view 0',
  ),
  core: monitor('redundancy', 'min', 'redundancy monitor of the embedding (with a global loss)'),
  corm: monitor(
    'redundancy',
    'min',
    'redundancy monitor of the map embedding (with a local loss): each cell of each photograph is one vector of B x P',
  ),
  grad_norm: monitor(
    'gradient',
    undefined,
    "norm of the gradients of all the network's parameters as one vector, before clipping",
  ),
  cls_l: loss('classifierLoss', 'cross-entropy of the online classifier, where there are labels'),
  probe_l: loss(
    'classifierLoss',
    'cross-entropy of the linear probe on other images (`src/train/probe/linearProbe.ts`), in records of its own',
  ),
  top1: accuracy('share of photographs whose label is the first of the online classifier'),
  top5: accuracy('share of photographs whose label is among the first five of the online classifier'),
  probe_top1: accuracy('top-1 share of the linear probe'),
  probe_top5: accuracy('top-5 share of the linear probe'),
  knn_top1: accuracy('top-1 share of the k-NN probe (`src/probe/knn.ts`), in records of its own'),
  knn_top5: accuracy('top-5 share of the k-NN probe'),
  epoch: run('epoch of the step, from 0'),
  lr: run('learning rate'),
  images_per_s: run('photographs per second'),
  loss_scale: run('`precision: fp16`: factor of the loss before it is differentiated'),
  overflow: run(
    '`precision: fp16`: 1 if the gradients overflowed at this scale, so that there was no update (and there is no `grad_norm`), else 0',
  ),
  wait_share: run('share of the step spent waiting for the loader'),
  exchange_share: run(
    'share of the step that rank 0 spent in exchanges with other ranks, its waiting for them included',
  ),
} as const satisfies Readonly<Record<string, LoggedTerm>>;

/** Name of a logged term. */
export type Term = keyof typeof table;

/** A graph, and the scalars among its outputs that are logged, in their order. */
export interface LoggedGraph {
  readonly graph: Graph;
  readonly logs: readonly Term[];
}

/** Logged terms by name. */
export const LOGGED_TERMS: Readonly<Record<Term, LoggedTerm>> = table;

/** Losses, monitors and accuracies, as in a run's summary and in `runs compare`. */
export const COMPARED_TERMS: readonly Term[] = (Object.keys(table) as Term[]).filter(
  (name) => table[name].group !== 'run',
);

/** Whether a name of the log describes the progress of the run, not what the network learns. */
export function isRunFigure(name: string): boolean {
  return (LOGGED_TERMS as Readonly<Record<string, LoggedTerm | undefined>>)[name]?.group === 'run';
}

/** TensorBoard's tag of a name in the log. A name that is not declared (in a log of another version) is a monitor. */
export function tensorboardTag(name: string): string {
  const term = (LOGGED_TERMS as Readonly<Record<string, LoggedTerm | undefined>>)[name];
  return `${term?.group ?? 'monitor'}/${name}`;
}
