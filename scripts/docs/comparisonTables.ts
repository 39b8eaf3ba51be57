import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { EvaluationTable, ExperimentReport } from '../../src/experiments/report/gather.js';
import { markdownTable, withGenerated } from './generatedPart.js';

/** The tables of docs/results.md, made from the committed reports of experiments (docs/results/NAME.json). */

type Report = Pick<ExperimentReport, 'definition' | 'tables'>;

/** What the columns show, as `evaluation.figure` of a report, with their heads. */
const COLUMNS = [
  ['knn.top1', 'k-NN top-1'],
  ['matches.share', 'matches within one cell'],
  ['matches.within_5px', 'within 5 px'],
  ['horses.miou', 'mIoU, horses'],
  ['camvid.miou', 'mIoU, CamVid'],
] as const;

const folder = fileURLToPath(new URL('../../../docs/results/', import.meta.url));

/** Points of a share. Null: a bound that is not known. */
function points(share: number | null): string {
  if (share === null) return '?';
  const text = (100 * share).toFixed(1);
  return text === '-0.0' ? '0.0' : text;
}
const signed = (share: number | null): string => (Number(points(share)) > 0 ? `+${points(share)}` : points(share));

/** A value in percent with its interval. */
function level(table: EvaluationTable | undefined, figure: string, variant: string): string {
  const of = table?.measures.filter((measure) => measure.variant === variant && measure.figure === figure);
  // Floors have one seed and no mean.
  const found = of?.find(({ seed }) => seed === null) ?? of?.[0];
  if (found?.value === undefined || found.value === null) return '';
  const range = found.interval?.map(points).join(' to ');
  return `${points(found.value)} %${range === undefined ? '' : ` (${range})`}`;
}

/** A difference in points with its interval, bold where that excludes 0. */
function difference(table: EvaluationTable | undefined, figure: string, variant: string): string {
  const found = table?.differences.find((each) => each.variant === variant && each.figure === figure);
  if (found === undefined) return '';
  const { interval } = found;
  const text = `${signed(found.difference)}${interval ? ` (${interval.map(signed).join(' to ')})` : ''}`;
  return interval && ((interval[0] ?? 0) > 0 || (interval[1] ?? 0) < 0) ? `**${text}**` : text;
}

/** Both tables of a report: levels, and differences to the baselines. */
function tablesOf({ definition, tables }: Report): string {
  const columns = COLUMNS.flatMap(([path, label]) => {
    const [evaluation, figure] = path.split('.') as [string, string];
    const table = tables.find(({ name }) => name === evaluation);
    return table ? [{ label, figure, table }] : [];
  });
  const variants = [...new Set(tables.flatMap((table) => table.variants))];
  const levels = variants.map((variant) => [
    variant,
    ...columns.map(({ table, figure }) => level(table, figure, variant)),
  ]);
  const compared = definition.variants.filter(({ name, baseline }) => baseline !== undefined && baseline !== name);
  const differences = compared.map(({ name, baseline }) => [
    `${name} - ${baseline}`,
    ...columns.map(({ table, figure }) => difference(table, figure, name)),
  ]);
  const heads = columns.map(({ label }) => label);
  const parts = [markdownTable(['variant', ...heads], levels)];
  if (differences.length > 0) parts.push('Differences in points:', markdownTable(['compared', ...heads], differences));
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
