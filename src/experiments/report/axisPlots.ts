import { curvePanelsPlot } from '../../report/plots/curvesPlot.js';
import type { FigureInfo, Interval, Plot } from '../../report/report.js';
import type { Definition } from '../definition.js';
import type { EvaluationTable } from './gather.js';

/** Figures against the axes of a matrix whose values are numbers. */

interface Point {
  readonly x: number;
  readonly value: number;
  readonly interval: Interval;
}

const NO_INTERVAL: Interval = [null, null];
/** Values whose largest is so many times the smallest stand on a logarithmic axis. */
const LOG_FROM = 8;

/** Points by line: one for each combination of the other axes. */
function linesOf({ measures }: EvaluationTable, { name }: FigureInfo, axis: string, { variants }: Definition) {
  const lines = new Map<string, Point[]>();
  for (const variant of variants) {
    const mean = measures.find(
      (each) => each.variant === variant.name && each.figure === name && each.seed === null && each.value !== null,
    );
    const x = variant.numbers[axis];
    if (x === undefined || mean === undefined) continue;
    const others = Object.entries(variant.coordinates).filter(([other]) => other !== axis);
    const parts = [variant.group, ...others.map(([key, value]) => `${key} ${value}`)].filter((part) => part !== '');
    const line = parts.join(', ');
    lines.set(line, [...(lines.get(line) ?? []), { x, value: mean.value!, interval: mean.interval ?? NO_INTERVAL }]);
  }
  return lines;
}

/** All figures against a numeric axis, with a line for each combination of the others. None for fewer than two positions. */
function axisPlot(table: EvaluationTable, axis: string, definition: Definition): Plot | undefined {
  const figures = table.figures.map((figure) => ({ figure, lines: linesOf(table, figure, axis, definition) }));
  const positions = new Set(figures.flatMap(({ lines }) => [...lines.values()].flat().map(({ x }) => x)));
  if (positions.size < 2) return undefined;
  const [least, most] = [Math.min(...positions), Math.max(...positions)];
  return curvePanelsPlot({
    name: `${table.name}-against-${axis}`,
    title: table.title,
    about: table.about,
    x: axis,
    positions: least > 0 && most >= LOG_FROM * least ? 'log' : 'linear',
    subjects: [...new Set(figures.flatMap(({ lines }) => [...lines.keys()]))],
    panels: figures.map(({ figure, lines }) => ({
      y: figure,
      curves: [...lines].map(([subject, unsorted]) => {
        const points = unsorted.toSorted((a, b) => a.x - b.x);
        return {
          subject,
          x: points.map(({ x }) => x),
          y: points.map(({ value }) => value),
          intervals: points.map(({ interval }) => interval),
        };
      }),
    })),
  });
}

/** The figures of an evaluation against all numeric axes. */
export function axisPlots(table: EvaluationTable, definition: Definition): Plot[] {
  const axes = [...new Set(definition.variants.flatMap(({ numbers }) => Object.keys(numbers)))];
  return axes.flatMap((axis) => axisPlot(table, axis, definition) ?? []);
}
