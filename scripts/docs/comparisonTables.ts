import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EvaluationTable, ExperimentReport } from '../../src/experiments/report/gather.js';
import { differenceText, measureText, verdict } from '../../src/report/numbers.js';
import type { FigureInfo } from '../../src/report/report.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The tables of docs/results.md, made from the committed reports of experiments (docs/results/NAME.json). */

type Report = Pick<ExperimentReport, 'definition' | 'tables'>;

/** What the columns show, as `evaluation.figure` of a report, with their heads. */
const COLUMNS = [
  ['knn.top1', 'k-NN top-1'],
  ['linear.top1', 'linear top-1'],
  ['matches.share', 'matches within one cell'],
  ['matches.within_5px', 'within 5 px'],
  ['horses.miou', 'mIoU, horses'],
  ['camvid.miou', 'mIoU, CamVid'],
  ['composites.miou', 'mIoU, composites'],
] as const;

const folder = fileURLToPath(new URL('../../../docs/results/', import.meta.url));

/** A figure of an evaluation, as a column. */
interface Column {
  readonly label: string;
  readonly table: EvaluationTable;
  readonly figure: FigureInfo;
}

/** The mean over seeds with its interval; empty where there is none. */
function level({ table, figure }: Column, variant: string): string {
  const of = table.measures.filter((measure) => measure.variant === variant && measure.figure === figure.name);
  // Floors have one seed and no mean.
  const found = of.find(({ seed }) => seed === null) ?? of[0];
  return found ? measureText(found, figure.unit) : '';
}

/** A difference with its interval, bold where that excludes 0. */
function difference({ table, figure }: Column, variant: string): string {
  const found = table.differences.find((each) => each.variant === variant && each.figure === figure.name);
  if (found === undefined) return '';
  const text = differenceText({ value: found.difference, interval: found.interval }, figure.unit);
  const isClear = found.interval !== undefined && verdict(found.interval, figure.better) !== 'not excluded';
  return isClear ? `**${text}**` : text;
}

/** Both tables of a report: levels, and differences to the baselines. */
function tablesOf({ definition, tables }: Report): string {
  const columns = COLUMNS.flatMap(([path, label]): Column[] => {
    const [evaluation, name] = path.split('.');
    const table = tables.find((one) => one.name === evaluation);
    const figure = table?.figures.find((one) => one.name === name);
    return table && figure ? [{ label, table, figure }] : [];
  });
  const variants = [...new Set(tables.flatMap((table) => table.variants))];
  const levels = variants.map((variant) => [variant, ...columns.map((column) => level(column, variant))]);
  const compared = definition.variants.filter(({ name, baseline }) => baseline !== undefined && baseline !== name);
  const differences = compared.map(({ name, baseline }) => [
    `${name} - ${baseline}`,
    ...columns.map((column) => difference(column, name)),
  ]);
  const heads = columns.map(({ label }) => label);
  const parts = [markdownTable(['variant', ...heads], levels)];
  if (differences.length > 0) parts.push('Differences:', markdownTable(['compared', ...heads], differences));
  return parts.join('\n\n');
}

/** docs/results.md with the tables between the markers of each report. @throws Error where a report is missing. */
export function withComparisonTables(document: string): string {
  const names = [...document.matchAll(/<!-- results of (\S+): begin/g)].map(([, name]) => name!);
  return names.reduce((text, name) => {
    const report = JSON.parse(readFileSync(`${folder}${name}.json`, 'utf8')) as Report;
    return withGenerated(text, `results of ${name}`, tablesOf(report));
  }, document);
}
