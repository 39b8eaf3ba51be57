import { join } from 'node:path';
import { makeFolder, writeOutput, writeOutputFile } from '../files/output.js';
import { svgToPng } from '../image/svg.js';
import { drawReport } from './drawReport.js';
import { renderHtml } from './html.js';
import { renderMarkdown } from './markdown.js';
import type { Report } from './report.js';

/** What a report is written as: pages of text, and pictures of its plots. */
export const REPORT_FORMATS = ['html', 'md', 'png'] as const;

export type ReportFormat = (typeof REPORT_FORMATS)[number];

/** Pixels of a PNG per pixel of the plot: sharp on screens with twice the density. */
const PNG_SCALE = 2;

/**
 * Writes report.md, report.html and a PNG of each plot to a folder, which is created. The Markdown shows the pictures if
 * they are written too.
 * @param what names the folder in errors, such as `--out`.
 * @returns the paths of the files.
 * @throws OutputError
 */
export async function writeReport(
  what: string,
  folder: string,
  report: Report,
  formats: readonly ReportFormat[] = REPORT_FORMATS,
): Promise<string[]> {
  const has = (format: ReportFormat): boolean => formats.includes(format);
  await writeOutput(what, folder, () => makeFolder(folder));
  const written: string[] = [];
  const write = async (name: string, content: string | Buffer): Promise<void> => {
    const path = join(folder, name);
    await writeOutputFile(what, path, content);
    written.push(path);
  };
  const pictures = has('html') || has('png') ? await drawReport(report) : new Map();
  if (has('png'))
    for (const { name, svg } of pictures.values()) await write(`${name}.png`, await svgToPng(svg, PNG_SCALE));
  if (has('md')) {
    const links = new Map([...pictures].map(([plot, { name }]) => [plot, `${name}.png`]));
    await write('report.md', renderMarkdown(report, has('png') ? { pictures: links } : {}));
  }
  if (has('html')) await write('report.html', renderHtml(report, pictures));
  return written;
}
