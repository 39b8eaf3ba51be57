import { type Command, Option } from 'commander';
import { checkOutputFile, checkOutputFolder, writeOutputFile } from '../files/output.js';
import { drawReport } from '../report/drawReport.js';
import { renderHtml } from '../report/html.js';
import { renderMarkdown } from '../report/markdown.js';
import type { Report } from '../report/report.js';
import { readResults } from '../report/results/readResults.js';
import { resultsReport } from '../report/results/resultSections.js';
import { REPORT_FORMATS, type ReportFormat, writeReport } from '../report/writeReport.js';
import { ConfigError } from '../train/config.js';

interface ReportFlags {
  readonly out?: string;
  readonly format?: ReportFormat | 'all';
}

/** Where a report goes. */
type Target =
  | { readonly to: 'stdout' }
  | { readonly to: 'file'; readonly path: string; readonly format: 'html' | 'md' }
  | { readonly to: 'folder'; readonly path: string; readonly formats: readonly ReportFormat[] };

/** @throws ConfigError for flags that cannot be combined. */
function targetOf({ out, format }: ReportFlags): Target {
  if (out === undefined) {
    if (format !== undefined && format !== 'md') {
      throw new ConfigError(`--format ${format} requires --out: only Markdown is printed`);
    }
    return { to: 'stdout' };
  }
  const [, ending] = /\.(html|md|png)$/i.exec(out) ?? [];
  if (ending === undefined) {
    return { to: 'folder', path: out, formats: format === undefined || format === 'all' ? REPORT_FORMATS : [format] };
  }
  const named = ending.toLowerCase() as ReportFormat;
  if (named === 'png') {
    throw new ConfigError(`--out ${out}: a report has several pictures; give a folder (--out DIR --format png)`);
  }
  if (format !== undefined && format !== named) {
    throw new ConfigError(`--out ${out} is one file, and --format is ${format}; give a folder, or leave --format out`);
  }
  return { to: 'file', path: out, format: named };
}

async function check(target: Target): Promise<void> {
  if (target.to === 'file') await checkOutputFile('--out', target.path);
  if (target.to === 'folder') await checkOutputFolder('--out', target.path);
}

async function write(report: Report, target: Target): Promise<void> {
  if (target.to === 'stdout') {
    process.stdout.write(renderMarkdown(report));
  } else if (target.to === 'file') {
    const { path, format } = target;
    const text = format === 'md' ? renderMarkdown(report) : renderHtml(report, await drawReport(report));
    await writeOutputFile('--out', path, text);
    console.log(path);
  } else {
    for (const path of await writeReport('--out', target.path, report, target.formats)) console.log(path);
  }
}

/** `vicregl report`: results of evaluations as tables and plots. */
export function registerReport(program: Command): void {
  program
    .command('report')
    .description(
      'Turn results of vicregl evaluate into tables and plots. Results of the same evaluation, protocol and data stand in one table.',
    )
    .argument('<result...>', 'result files (evaluate ... --out), or folders that contain some')
    .option(
      '--out <path>',
      'folder for report.md, report.html and a PNG of each plot, or a file that ends in .html or .md (default: print Markdown)',
    )
    .addOption(
      new Option('--format <name>', 'what is written to the folder (default: all)').choices([...REPORT_FORMATS, 'all']),
    )
    .action(async (paths: string[], flags: ReportFlags) => {
      const target = targetOf(flags);
      await check(target);
      await write(resultsReport(await readResults(paths)), target);
    });
}
