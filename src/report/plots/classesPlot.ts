import type { Plot, Unit } from '../report.js';
import {
  frame,
  PANEL_WIDTH,
  type PlotTitle,
  plotLabel,
  plotLabels,
  plotted,
  seriesScales,
  UNIT_LABELS,
} from './frame.js';

const ROW_HEIGHT = 18;

/** A figure of one subject by class; null for a class that the data lack. */
export interface PlottedClasses {
  readonly subject: string;
  readonly values: ReadonlyMap<string, number | null>;
}

export interface ClassesPlot extends PlotTitle {
  readonly name: string;
  readonly label: string;
  readonly unit: Unit;
  /** All subjects of the report, so that each has the same colour in all plots. */
  readonly subjects: readonly string[];
  /** The first is drawn as bars, by which the classes are sorted. The others are drawn as dots. */
  readonly classes: readonly PlottedClasses[];
}

/** Names of the classes of all subjects, sorted by the first subject's value, highest first; classes without one last. */
export function sortedClasses(classes: readonly PlottedClasses[]): string[] {
  const names = [...new Set(classes.flatMap(({ values }) => [...values.keys()]))];
  const scoreOf = (name: string): number => classes[0]?.values.get(name) ?? Number.NEGATIVE_INFINITY;
  return names.sort((a, b) => {
    const [x, y] = [scoreOf(a), scoreOf(b)];
    return x === y ? 0 : y - x;
  });
}

/** A figure by class: bars of the first subject, sorted, and dots of the others. None without a value. */
export function classesPlot({ name, title, about, label, unit, subjects, classes }: ClassesPlot): Plot | undefined {
  if (classes.every(({ values }) => [...values.values()].every((value) => value === null))) return undefined;
  const all = plotLabels(subjects);
  const { color, shape } = seriesScales(all);
  const labelOf = (subject: string): string => all[subjects.indexOf(subject)]!;
  const sorted = sortedClasses(classes);
  const rows = plotLabels(sorted);
  const [bars, ...dots] = classes.map(({ subject, values }) =>
    sorted.flatMap((each, i) => {
      const value = values.get(each) ?? null;
      return value === null ? [] : [{ row: rows[i]!, subject: labelOf(subject), value: plotted(value, unit) }];
    }),
  );
  const y = {
    field: 'row',
    type: 'nominal' as const,
    title: null,
    sort: null,
    scale: { domain: rows },
    axis: { ticks: false, labelPadding: 6 },
  };
  const x = {
    field: 'value',
    type: 'quantitative' as const,
    title: `${plotLabel(label)}${UNIT_LABELS[unit]}`,
    scale: { zero: true },
  };
  const drawn = classes.map(({ subject }) => labelOf(subject));
  const legend = { orient: 'bottom' as const, columns: 2, title: null, values: drawn, symbolOpacity: 1 };
  const colour = { field: 'subject', type: 'nominal' as const, scale: color, legend };
  return {
    type: 'plot',
    name,
    alt: title,
    spec: {
      ...frame({ title, about }),
      width: PANEL_WIDTH + 40,
      height: { step: ROW_HEIGHT },
      layer: [
        {
          data: { values: bars ?? [] },
          mark: { type: 'bar', opacity: 0.55, height: { band: 0.75 } },
          encoding: { y, x, color: colour },
        },
        {
          data: { values: dots.flat() },
          mark: { type: 'point', filled: true, size: 55, opacity: 1 },
          encoding: {
            y,
            x,
            color: colour,
            shape: { field: 'subject', type: 'nominal', scale: shape, legend },
          },
        },
      ],
    },
  };
}
