import { join } from 'node:path';
import { makeFolder, writeOutput, writeOutputFile } from '../../files/output.js';
import { svgToPng } from '../../image/svg.js';
import type { Plot } from './blocks.js';
import type { ExperimentReport } from './gather.js';
import { drawPlot, renderHtml, renderMarkdown } from './render.js';
import { experimentSections } from './sections.js';

/**
 * Writes report.md, report.html, report.json (the figures without curves) and a PNG of each plot.
 * @returns the report as Markdown, without pictures, for a terminal.
 * @throws OutputError
 */
export async function writeExperimentReport(report: ExperimentReport, folder: string): Promise<string> {
  const sections = experimentSections(report);
  await writeOutput('--out', folder, () => makeFolder(folder));
  const write = (name: string, content: string | Buffer) => writeOutputFile('--out', join(folder, name), content);
  const plots = sections.sections.flatMap(({ blocks }) =>
    blocks.filter((block): block is Plot => block.type === 'plot'),
  );
  const drawings = new Map<Plot, string>();
  for (const plot of plots) {
    const svg = await drawPlot(plot.spec);
    drawings.set(plot, svg);
    await write(`${plot.name}.png`, await svgToPng(svg, 2));
  }
  const { curves: _, ...figures } = report;
  await write('report.json', `${JSON.stringify(figures, null, 2)}\n`);
  await write('report.md', renderMarkdown(sections, true));
  await write('report.html', renderHtml(sections, drawings));
  return renderMarkdown(sections, false);
}
