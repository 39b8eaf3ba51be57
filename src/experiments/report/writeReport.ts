import { join } from 'node:path';
import { writeOutputFile } from '../../files/output.js';
import { renderMarkdown } from '../../report/markdown.js';
import { writeReport } from '../../report/writeReport.js';
import { experimentReport } from './experimentReport.js';
import type { ExperimentReport } from './gather.js';

/**
 * Writes report.md, report.html, a PNG of each plot, and report.json (the figures without training curves).
 * @returns the report as Markdown, without pictures, for a terminal.
 * @throws OutputError
 */
export async function writeExperimentReport(gathered: ExperimentReport, folder: string): Promise<string> {
  const report = experimentReport(gathered);
  await writeReport('--out', folder, report);
  const { curves: _, ...figures } = gathered;
  await writeOutputFile('--out', join(folder, 'report.json'), `${JSON.stringify(figures, null, 2)}\n`);
  return renderMarkdown(report);
}
