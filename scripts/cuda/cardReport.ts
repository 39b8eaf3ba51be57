import type { SectionResult } from './sections.js';

/** Results of firstCard.ts on one machine. */
export interface CardReport {
  /** ISO 8601. */
  readonly date: string;
  readonly device: 'cpu' | 'cuda';
  /** Whether the sizes were tiny. They show that everything runs, but the times mean nothing. */
  readonly quick: boolean;
  readonly versions: Readonly<Record<string, string>>;
  readonly seconds: number;
  readonly sections: readonly SectionResult[];
}

function cell(value: unknown): string {
  const text = value === undefined ? '' : typeof value === 'string' ? value : JSON.stringify(value);
  return text.replaceAll('|', '\\|').replaceAll('\n', '<br>');
}

function tableOf(rows: readonly Readonly<Record<string, unknown>>[]): string {
  const columns = [...new Set(rows.flatMap((row) => Object.keys(row)))];
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [
    line(columns),
    line(columns.map(() => '---')),
    ...rows.map((row) => line(columns.map((column) => cell(row[column])))),
  ].join('\n');
}

const isRow = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

/** Output of `vicregl bench --json`. The report shows one row for each load. */
interface Bench {
  readonly loads: readonly {
    readonly load: Readonly<Record<string, unknown>>;
    readonly stable: boolean;
    readonly imagesPerSecond: number;
    readonly latencyMs: Readonly<Record<string, number>>;
    readonly codes: unknown;
  }[];
}

function rowsOf(value: Readonly<Record<string, unknown>>): readonly Readonly<Record<string, unknown>>[] {
  if (!Array.isArray(value['loads'])) return [value];
  return (value as unknown as Bench).loads.map(({ load, stable, imagesPerSecond, latencyMs, codes }) => ({
    concurrency: load['concurrency'],
    'images/s': Number(imagesPerSecond.toFixed(1)),
    'p50, ms': latencyMs['p50']?.toFixed(1),
    'p99, ms': latencyMs['p99']?.toFixed(1),
    stable,
    codes,
  }));
}

function sectionText({ title, status, seconds, data, error }: SectionResult): string {
  const rows = data.filter(isRow).flatMap(rowsOf);
  const parts = [`## ${title}`, `${status}, ${seconds} s`];
  if (error !== undefined) parts.push(['```text', error, '```'].join('\n'));
  if (rows.length > 0) parts.push(tableOf(rows));
  return parts.join('\n\n');
}

/** The report as Markdown: the sections that failed, then each section with its output. */
export function reportMarkdown(report: CardReport): string {
  const { date, device, quick, versions, seconds, sections } = report;
  const bad = sections.filter(({ status }) => status !== 'ok');
  const heading = `# First run on ${device === 'cuda' ? 'a card' : 'the CPU'}, ${date.slice(0, 10)}`;
  const about = Object.entries({ device, ...versions, seconds: String(seconds) }).map(
    ([key, value]) => `- ${key}: ${value}`,
  );
  const summary =
    bad.length === 0
      ? `All ${sections.length} sections are ok.`
      : `${bad.length} of ${sections.length} sections are not ok: ${bad.map(({ name, status }) => `${name} (${status})`).join(', ')}.`;
  return [
    heading,
    about.join('\n'),
    ...(quick ? ['Tiny sizes (--quick): the times mean nothing.'] : []),
    summary,
    ...sections.map(sectionText),
    '',
  ].join('\n\n');
}
