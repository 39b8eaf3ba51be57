import { drawPlot } from '../plot/draw.js';
import type { Plot, Report } from './report.js';

/** A drawn plot. */
export interface Picture {
  /** File name without the ending, the only one of its kind in the report. */
  readonly name: string;
  readonly svg: string;
}

/** File systems have limits, and names of curves come from files. */
const LONGEST_NAME = 100;

const plotsOf = ({ sections }: Report): Plot[] =>
  sections.flatMap(({ blocks }) => blocks.filter((block): block is Plot => block.type === 'plot'));

/** File names for the plots of a report, in their order. Of equal names the second and further ones are numbered. */
export function pictureNames(report: Report): ReadonlyMap<Plot, string> {
  const names = new Map<Plot, string>();
  const used = new Set<string>();
  for (const plot of plotsOf(report)) {
    // Part of a path: nothing but these characters may stand in it.
    const plain =
      plot.name
        .toLowerCase()
        .replace(/[^a-z0-9]+/g, '-')
        .slice(0, LONGEST_NAME) || 'plot';
    let name = plain;
    for (let i = 2; used.has(name); i++) name = `${plain}-${i}`;
    used.add(name);
    names.set(plot, name);
  }
  return names;
}

/** Draws all plots of a report. */
export async function drawReport(report: Report): Promise<ReadonlyMap<Plot, Picture>> {
  const pictures = new Map<Plot, Picture>();
  for (const [plot, name] of pictureNames(report)) pictures.set(plot, { name, svg: await drawPlot(plot.spec) });
  return pictures;
}
