import { ResultError, readResult } from '../../evaluate/result/readResult.js';
import type { EvaluationResult, ResultSubject } from '../../evaluate/result/schema.js';
import { inOrder } from '../../files/inOrder.js';
import type { FigureInfo } from '../../report/report.js';
import { aboutText, KIND_TITLES } from '../../report/results/about.js';
import type { VariantDifference, VariantMeasure } from '../../report/variants.js';
import { didYouMean } from '../../train/configKeys.js';
import { type CurvePoint, createCurvePoints } from '../../train/curvePoints.js';
import { readRunLog } from '../../train/runLog.js';
import { type CellRecord, readRecord } from '../cellRecord.js';
import { cellFolder } from '../cells.js';
import { settingsChanges } from '../changes.js';
import type { Definition } from '../definition.js';
import { ExperimentError } from '../experimentError.js';
import { failuresOf, resultPath, secondsOf } from '../runCell.js';
import { pairedValues, type SeedInterval, seedInterval } from '../statistics/seedInterval.js';
import { alignItems } from './alignItems.js';
import { byProtocol, type ProtocolGroup } from './byProtocol.js';
import { completeDefinition, mergeDefinitions, union } from './mergeDefinitions.js';
import { type CellResult, type MeasuredCell, measuredCells, requireSame } from './requireSame.js';
import { seedValues } from './seedValues.js';

/** Results of an experiment's cells, from one or several folders, as figures of variants. */

/** A figure of a variant. */
export interface GatheredMeasure extends VariantMeasure {
  /** Of all seeds: what its interval is over. */
  readonly over?: SeedInterval['over'];
}

/** What an evaluation measured of all variants, or of those of one protocol. */
export interface EvaluationTable {
  /** Of the evaluation; with a number where there are several protocols. */
  readonly name: string;
  readonly title: string;
  /** Protocol and data. */
  readonly about: string;
  readonly figures: readonly FigureInfo[];
  /** Variants in their order, then in brackets the floors, and what the evaluations themselves compared with. */
  readonly variants: readonly string[];
  readonly measures: readonly GatheredMeasure[];
  readonly differences: readonly VariantDifference[];
  readonly notes: readonly string[];
}

/** Training curves of a variant, of each seed. */
export interface VariantCurves {
  readonly variant: string;
  readonly runs: readonly { readonly seed: number; readonly points: readonly CurvePoint[] }[];
}

export interface ExperimentReport {
  readonly definition: Definition;
  readonly tables: readonly EvaluationTable[];
  readonly curves: readonly VariantCurves[];
  /** Cells that have no complete result, and why. */
  readonly missing: readonly { readonly cell: string; readonly reason: string }[];
  /** Runs that had collapsed at their end and were evaluated nevertheless. */
  readonly collapsed: readonly string[];
  /** Seconds of training and evaluation of all cells. */
  readonly seconds: number;
}

/** A cell with its results. */
interface GatheredCell {
  readonly variant: string;
  readonly seed: number;
  readonly folder: string;
  readonly record: CellRecord;
  /** By evaluation; of a cell that is in several folders, from the first that has one. */
  readonly results: ReadonlyMap<string, CellResult>;
}

/** @throws ExperimentError for a cell that was run with other settings than its variant has. */
function requireSettings({ folder, record }: GatheredCell, variant: Definition['variants'][number]): void {
  const changes = settingsChanges(record, variant);
  if (changes.length === 0) return;
  throw new ExperimentError(
    `${folder} was run with other settings than ${variant.name} has now (${changes.join(', ')}); ` +
      'run vicregl experiments run with the current file again, with --restart-changed if it names these keys',
  );
}

/**
 * One cell of those that are the same in several folders: its run is that of the folder with the most results, and each folder adds the
 * evaluations that it alone has. Undefined for none.
 */
function mergeCells(found: readonly GatheredCell[]): GatheredCell | undefined {
  const isTrained = ({ record }: GatheredCell) => Number(record.training.status === 'done');
  const sorted = found.toSorted((a, b) => b.results.size - a.results.size || isTrained(b) - isTrained(a));
  const [first] = sorted;
  if (first === undefined) return undefined;
  // The first folder that has an evaluation is the last that sets it.
  const merged = sorted
    .toReversed()
    .flatMap(({ record, results }) =>
      [...results].map(([name, result]) => ({ name, result, evaluation: record.evaluations[name]! })),
    );
  const evaluations = Object.fromEntries(merged.map(({ name, evaluation }) => [name, evaluation]));
  return {
    ...first,
    record: { ...first.record, evaluations: { ...first.record.evaluations, ...evaluations } },
    results: new Map(merged.map(({ name, result }) => [name, result])),
  };
}

async function readCell(
  folders: readonly string[],
  variant: Definition['variants'][number],
  seed: number,
  evaluations: Definition['evaluations'],
): Promise<{ readonly cell?: GatheredCell; readonly problem?: string }> {
  const place = { variant: { name: variant.name }, seed };
  const found: GatheredCell[] = [];
  for (const out of folders) {
    const folder = cellFolder(out, place);
    const record = await readRecord(folder);
    if (record === undefined) continue;
    const results = new Map<string, CellResult>();
    for (const { name } of evaluations) {
      if (record.evaluations[name]?.status !== 'done') continue;
      const result = await readResult(resultPath(folder, name)).catch((error: unknown) => {
        if (error instanceof ResultError) return undefined;
        throw error;
      });
      if (result !== undefined) results.set(name, { folder, result });
    }
    found.push({ variant: variant.name, seed, folder, record, results });
  }
  const cell = mergeCells(found);
  if (cell === undefined) return { problem: 'not run' };
  const used = new Set([cell.folder, ...[...cell.results.values()].map(({ folder }) => folder)]);
  for (const each of found) if (used.has(each.folder)) requireSettings(each, variant);
  const lacking = evaluations.filter(({ name }) => !cell.results.has(name)).map(({ name }) => name);
  if (cell.record.training.status === 'done' && lacking.length === 0) return { cell };
  const failures = failuresOf(cell.record);
  const state =
    cell.record.training.status === 'done' ? `no result of ${lacking.join(', ')}` : 'training is not finished';
  return { cell, problem: failures.length > 0 ? failures.join('; ') : state };
}

/** A variant, or a baseline of the evaluations, with its results by seed. */
interface Row {
  readonly name: string;
  readonly bySeed: ReadonlyMap<number, ResultSubject>;
}

/**
 * Rows of what the evaluations compare with. Random weights and raw pixels depend on the architecture, not on how a variant is
 * trained: those that measure the same are one row.
 */
function baselineRows(cells: readonly { readonly cell: GatheredCell; readonly result: EvaluationResult }[]): Row[] {
  const groups: {
    readonly name: string;
    readonly variants: Set<string>;
    readonly bySeed: Map<number, ResultSubject>;
  }[] = [];
  const measuredOf = ({ figures }: ResultSubject) => JSON.stringify(figures);
  for (const { cell, result } of cells) {
    for (const subject of result.subjects.slice(1)) {
      let group = groups.find(({ name, bySeed, variants }) => {
        const there = bySeed.get(cell.seed);
        const known = [...bySeed.values()].some((each) => measuredOf(each) === measuredOf(subject));
        const fits = known || (there === undefined && variants.has(cell.variant));
        return name === subject.name && fits;
      });
      if (group === undefined) {
        group = { name: subject.name, variants: new Set(), bySeed: new Map() };
        groups.push(group);
      }
      // Evaluations with one seed compare all runs with one network of random weights: it counts once.
      const known = [...group.bySeed.values()].some((each) => measuredOf(each) === measuredOf(subject));
      if (!known) group.bySeed.set(cell.seed, subject);
      group.variants.add(cell.variant);
    }
  }
  return groups.map(({ name, variants, bySeed }) => {
    const isAlone = groups.filter((each) => each.name === name).length === 1;
    return { name: `(${isAlone ? name : `${name} of ${[...variants].join(', ')}`})`, bySeed };
  });
}

const rowOf = (name: string, measured: readonly MeasuredCell<GatheredCell>[]): Row => ({
  name,
  bySeed: new Map(measured.map(({ cell, result }) => [cell.seed, result.subjects[0]!])),
});

/** Rows by name; a name that is there already has a number. */
function distinctRows(rows: readonly Row[]): Row[] {
  const names = rows.map(({ name }) => name);
  return rows.map((row, i) => {
    const before = names.slice(0, i).filter((name) => name === row.name).length;
    return before === 0 ? row : { ...row, name: `${row.name} ${before + 1}` };
  });
}

/**
 * Tables of an evaluation: one for each protocol, since figures of different ones are not comparable. The protocol of a segmentation
 * follows from the network's family.
 */
function tablesOf(
  { name }: Definition['evaluations'][number],
  definition: Definition,
  cells: readonly GatheredCell[],
  floors: readonly GatheredCell[],
): EvaluationTable[] {
  const [found, foundFloors] = [measuredCells(cells, name), measuredCells(floors, name)];
  requireSame(name, [...found, ...foundFloors]);
  const [measured, floor] = [found, foundFloors].map((each) =>
    each.map((one) => ({ ...one, result: alignItems(one.result, found[0]?.result.items) })),
  ) as [typeof found, typeof found];
  const { groups, leftOut } = byProtocol(measured, floor);
  return groups.map((group, i) => {
    const title = KIND_TITLES[group.measured[0]!.result.kind];
    const several = groups.length > 1;
    const table = tableOf(group, measured, definition);
    return {
      ...table,
      name: several ? `${name}-${i + 1}` : name,
      title: `${name === group.measured[0]!.result.kind ? title : `${title} (${name})`}${several ? `, protocol ${i + 1} of ${groups.length}` : ''}`,
      notes: [
        ...(several
          ? [
              'The variants were measured with several protocols, such as those of the families of networks: each has a table.',
            ]
          : []),
        ...(leftOut.length > 0 ? [`Measured with another protocol, and left out: ${leftOut.join(', ')}.`] : []),
        ...table.notes,
      ],
    };
  });
}

/** @param all results of the evaluation, of all protocols. */
function tableOf(
  { measured, floor }: ProtocolGroup<MeasuredCell<GatheredCell>>,
  all: readonly MeasuredCell<GatheredCell>[],
  definition: Definition,
): Omit<EvaluationTable, 'name' | 'title'> {
  const figures = union(
    measured.map(({ result }) =>
      result.subjects[0]!.figures.map(({ name: key, label, unit, better }) => ({ name: key, label, unit, better })),
    ),
    (figure) => figure.name,
  );
  const variantRows = definition.variants.flatMap((variant): Row[] => {
    const own = measured.filter(({ cell }) => cell.variant === variant.name);
    return own.length === 0 ? [] : [rowOf(variant.name, own)];
  });
  const floorRows = [...new Set(floor.map(({ cell }) => cell.variant))].map((variant) =>
    rowOf(
      `(${variant})`,
      floor.filter(({ cell }) => cell.variant === variant),
    ),
  );
  const rows = distinctRows([...variantRows, ...floorRows, ...baselineRows([...floor, ...measured])]);
  const measures = rows.flatMap((row) => figures.flatMap((figure) => measuresOf(row, figure)));
  const rowNamed = (name: string | undefined) => variantRows.find((row) => row.name === name);
  const differences = definition.variants.flatMap(({ name: variant, baseline }) => {
    const [of, less] = [rowNamed(variant), rowNamed(baseline)];
    if (of === undefined || less === undefined || of === less) return [];
    return figures.flatMap((figure) => differenceOf(of, less, figure.name));
  });
  const elsewhere = definition.variants.flatMap(({ name: variant, baseline }) => {
    const isElsewhere = rowNamed(baseline) === undefined && all.some(({ cell }) => cell.variant === baseline);
    return rowNamed(variant) !== undefined && isElsewhere ? [`${variant} - ${baseline}`] : [];
  });
  const unsure = [...measures.filter(({ seed }) => seed === null), ...differences];
  const notes = [
    ...(elsewhere.length > 0
      ? [`No differences of variants that were measured with different protocols: ${elsewhere.join(', ')}.`]
      : []),
    ...(unsure.some(({ over }) => over === 'seeds')
      ? [
          'Intervals of differences of figures that are no means over items are over seeds alone: the test images are taken as given.',
        ]
      : []),
    ...(measures.some(
      ({ variant, seed, over }) => seed === null && over === 'items' && variantRows.some((row) => row.name === variant),
    )
      ? ['With one seed, intervals are over items alone: they say nothing about other seeds.']
      : []),
    ...new Set(measured.flatMap(({ result }) => result.notes ?? [])),
  ];
  const about = aboutText(measured[0]!.result);
  return { figures, measures, differences, notes, about, variants: rows.map((row) => row.name) };
}

const clipped = (value: number, unit: FigureInfo['unit']) =>
  unit === 'share' ? Math.min(1, Math.max(0, value)) : value;

function measuresOf({ name, bySeed }: Row, { name: figure, unit }: FigureInfo): GatheredMeasure[] {
  const seeds = [...bySeed.keys()].sort((a, b) => a - b);
  const each = seeds.flatMap((seed): GatheredMeasure[] => {
    const found = bySeed.get(seed)!.figures.find((one) => one.name === figure);
    if (found === undefined) return [];
    return [{ variant: name, seed, figure, value: found.value, ...(found.interval && { interval: found.interval }) }];
  });
  if (each.length === 0) return [];
  const values = seedValues(
    seeds.map((seed) => bySeed.get(seed)!),
    figure,
  );
  if (values === undefined) return [...each, { variant: name, seed: null, figure, value: null }];
  const { value, interval, over } = seedInterval(values);
  const bounds = interval && { interval: [clipped(interval[0], unit), clipped(interval[1], unit)] as const };
  return [...each, { variant: name, seed: null, figure, value, ...bounds, ...(over && { over }) }];
}

function differenceOf(variant: Row, baseline: Row, figure: string): VariantDifference[] {
  const seeds = [...variant.bySeed.keys()].filter((seed) => baseline.bySeed.has(seed)).sort((a, b) => a - b);
  if (seeds.length === 0) return [];
  const [of, less] = [variant, baseline].map(({ bySeed }) =>
    seedValues(
      seeds.map((seed) => bySeed.get(seed)!),
      figure,
    ),
  );
  const about = { variant: variant.name, baseline: baseline.name, figure, seeds };
  if (of === undefined || less === undefined) return [{ ...about, difference: null, interval: [null, null] }];
  const { value, interval, over } = seedInterval(pairedValues(of, less));
  return [{ ...about, difference: value, interval: interval ?? [null, null], ...(over && { over }) }];
}

async function curvesOf(cells: readonly GatheredCell[]): Promise<VariantCurves['runs']> {
  const runs: VariantCurves['runs'][number][] = [];
  for (const { folder, seed } of cells) {
    const curve = createCurvePoints();
    // There is no log before the first step.
    for await (const record of readRunLog(folder, { mayBeMissing: true })) curve.add(record);
    const points = curve.points();
    if (points.length > 0) runs.push({ seed, points });
  }
  return runs;
}

/** The cells of folders, and those that have no complete result. */
async function readCells(folders: readonly string[], definition: Definition) {
  const cells: GatheredCell[] = [];
  const missing: ExperimentReport['missing'][number][] = [];
  for (const variant of definition.variants) {
    for (const seed of definition.seeds) {
      const { cell, problem } = await readCell(folders, variant, seed, definition.evaluations);
      if (cell !== undefined) cells.push(cell);
      if (problem !== undefined) missing.push({ cell: `${variant.name}/seed-${seed}`, reason: problem });
    }
  }
  return { cells, missing };
}

export interface GatherOptions {
  readonly floors?: string;
  readonly baseline?: string;
}

/** The definition in which every other variant is compared with one. */
function withBaseline(definition: Definition, baseline: string): Definition {
  const names = definition.variants.map(({ name }) => name);
  if (!names.includes(baseline)) {
    throw new ExperimentError(`--baseline: there is no variant "${baseline}"; ${didYouMean(baseline, names)}`);
  }
  return { ...definition, variants: definition.variants.map((variant) => ({ ...variant, baseline })) };
}

/**
 * Reads the cells of an experiment.
 * @param folders of `experiments run`: parts of one experiment.
 * @param floors folder of another experiment whose variants and baselines stand in the tables of evaluations of the same names.
 * @param baseline the variant with which all others are compared, in place of those of the file.
 * @throws ExperimentError for folders that do not belong together, evaluations on different data, and an unknown variant.
 */
export async function gatherExperiment(
  folders: readonly string[],
  { floors, baseline }: GatherOptions = {},
): Promise<ExperimentReport> {
  const merged = mergeDefinitions(folders, await inOrder(folders, completeDefinition));
  const definition = baseline === undefined ? merged : withBaseline(merged, baseline);
  const { cells, missing } = await readCells(folders, definition);
  const floorCells = floors === undefined ? [] : (await readCells([floors], await completeDefinition(floors))).cells;
  const ofVariant = (name: string) => cells.filter((cell) => cell.variant === name);
  const curves = await Promise.all(
    definition.variants.map(async ({ name }) => ({ variant: name, runs: await curvesOf(ofVariant(name)) })),
  );
  return {
    ...{ definition, missing, curves },
    tables: definition.evaluations.flatMap((evaluation) => tablesOf(evaluation, definition, cells, floorCells)),
    collapsed: cells.flatMap(({ variant, seed, record: { training } }) =>
      training.status === 'done' && training.collapsed !== undefined ? [`${variant}/seed-${seed}`] : [],
    ),
    seconds: cells.reduce((sum, { record }) => sum + secondsOf(record), 0),
  };
}
