import { DataError } from '../../data/dataError.js';
import { packageVersion } from '../../models/packageVersion.js';
import { env } from '../../onnx/runtime.js';
import type { SubjectSource } from '../subjects/subject.js';
import { compareFigures, type MeasuredFigure } from './figures.js';
import { type EvaluationResult, RESULT_FORMAT, RESULT_VERSION, type ResultSubject } from './schema.js';

/** What was measured of one subject. */
export interface SubjectMeasures extends Pick<ResultSubject, 'curves' | 'classes'> {
  readonly figures: readonly MeasuredFigure[];
  /** Names of the items that this subject was measured over, where it may have skipped some. Default: all of the result's. */
  readonly items?: readonly string[];
}

export interface ResultParts
  extends Pick<EvaluationResult, 'kind' | 'protocol' | 'command' | 'seed' | 'options' | 'data' | 'notes'> {
  /** Names of the items over which figures are taken and resampled, in the order of the figures' indices. */
  readonly items: readonly string[];
  readonly sources: readonly SubjectSource[];
  /** Of each source, in its order. */
  readonly measures: readonly SubjectMeasures[];
  /** When the evaluation began, as `performance.now()`. */
  readonly began: number;
}

/**
 * Items are paired by their place: those of another subject at the same places would give wrong differences.
 * @throws DataError `malformed` for a subject with other items; RangeError for a figure of another number of values.
 */
function requireSameItems({ items, sources, measures }: Pick<ResultParts, 'items' | 'sources' | 'measures'>): void {
  for (const [i, { name }] of sources.entries()) {
    const { items: own = items, figures } = measures[i]!;
    const at = Array.from({ length: Math.max(own.length, items.length) }, (_, k) => k).find((k) => own[k] !== items[k]);
    if (at !== undefined) {
      throw new DataError(
        'malformed',
        `${sources[0]!.name} was measured on ${items.length} items and ${name} on ${own.length}, which differ from ${items[at] ?? own[at]} on: files changed or could not be read while the evaluation ran; run it again`,
      );
    }
    for (const { name: figure, perItem } of figures) {
      if (perItem === undefined || perItem.length === items.length) continue;
      throw new RangeError(`${name} has ${perItem.length} values of ${figure} for ${items.length} items`);
    }
  }
}

/**
 * Puts the result of an evaluation together, with intervals and comparisons.
 * @throws DataError or RangeError where the subjects were not measured over the same items.
 */
export function buildResult(parts: ResultParts): EvaluationResult {
  const { kind, protocol, command, seed, options, data, notes, items, sources, measures, began } = parts;
  requireSameItems(parts);
  const measured = sources.map(({ name }, i) => ({ name, figures: measures[i]!.figures }));
  const { figures, comparisons } = compareFigures(measured, items.length, { seed });
  const subjects = sources.map(({ name, model, digest }, i): ResultSubject => {
    const { figures: own, curves, classes } = measures[i]!;
    const perItem = own.flatMap(({ name: figure, perItem: values }) =>
      values === undefined ? [] : [[figure, Array.from(values, (value) => (Number.isFinite(value) ? value : null))]],
    );
    return {
      name,
      model,
      digest,
      figures: figures[i]!,
      ...(perItem.length > 0 && { perItem: Object.fromEntries(perItem) }),
      ...(curves && { curves }),
      ...(classes && { classes }),
    };
  });
  return {
    format: RESULT_FORMAT,
    formatVersion: RESULT_VERSION,
    kind,
    protocol,
    command: [...command],
    created: new Date().toISOString(),
    seconds: Math.round(performance.now() - began) / 1000,
    versions: { vicregl: packageVersion(), onnxruntime: env.versions.node!, node: process.versions.node },
    seed,
    options,
    data,
    items: [...items],
    subjects,
    comparisons,
    ...(notes !== undefined && notes.length > 0 && { notes }),
  };
}

/** A result without the values of each item, for printing. */
export function summaryOf({ items: _, subjects, ...result }: EvaluationResult): EvaluationResult {
  return { ...result, subjects: subjects.map(({ perItem: __, ...subject }) => subject) };
}
