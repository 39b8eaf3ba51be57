import type { Interval, Plot, Unit } from '../report.js';
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

/** One line. */
export interface PlottedCurve {
  readonly subject: string;
  readonly x: readonly number[];
  /** null where there is no value: the line is interrupted. */
  readonly y: readonly (number | null)[];
  readonly intervals?: readonly Interval[];
}

export interface CurvesPlot extends PlotTitle {
  readonly name: string;
  readonly x: string;
  readonly y: { readonly label: string; readonly unit: Unit };
  /** All subjects of the report, so that each has the same colour in all plots. */
  readonly subjects: readonly string[];
  readonly curves: readonly PlottedCurve[];
}

/** Lines with bands of their 95 % intervals. */
export function curvesPlot({ name, title, about, x, y, subjects, curves }: CurvesPlot): Plot {
  const all = plotLabels(subjects);
  const { color, dash, shape } = seriesScales(all);
  const drawn = all.filter((_, i) => curves.some(({ subject }) => subject === subjects[i]));
  const values = curves.flatMap((curve, line) =>
    curve.x.map((at, i) => {
      const value = curve.y[i] ?? null;
      const [lower, upper] = curve.intervals?.[i] ?? [null, null];
      const has = lower !== null && upper !== null;
      return {
        subject: all[subjects.indexOf(curve.subject)]!,
        line,
        at,
        value: value === null ? null : plotted(value, y.unit),
        lower: has ? plotted(lower, y.unit) : null,
        upper: has ? plotted(upper, y.unit) : null,
      };
    }),
  );
  const xAxis = {
    field: 'at',
    type: 'quantitative' as const,
    title: plotLabel(x),
    scale: { zero: false, nice: false },
  };
  const yTitle = `${plotLabel(y.label)}${UNIT_LABELS[y.unit]}`;
  const few = Math.max(0, ...curves.map((curve) => curve.x.length)) <= 12;
  // Several labels in a row would be wider than the plot.
  const legend = { orient: 'bottom' as const, columns: 2, title: null, values: drawn, symbolSize: 300 };
  return {
    type: 'plot',
    name,
    alt: `${title}: ${y.label} against ${x}, with 95 % intervals`,
    spec: {
      ...frame({ title, about }),
      width: PANEL_WIDTH + 100,
      height: 300,
      data: { values },
      encoding: { detail: { field: 'line', type: 'nominal' } },
      layer: [
        {
          mark: { type: 'area', opacity: 0.14, invalid: 'break-paths-filter-domains' },
          encoding: {
            x: xAxis,
            y: { field: 'lower', type: 'quantitative', title: yTitle, scale: { zero: false } },
            y2: { field: 'upper' },
            color: { field: 'subject', type: 'nominal', scale: color, legend: null },
          },
        },
        {
          mark: { type: 'line', strokeWidth: 2, invalid: 'break-paths-filter-domains' },
          encoding: {
            x: xAxis,
            y: { field: 'value', type: 'quantitative', title: yTitle },
            color: { field: 'subject', type: 'nominal', scale: color, legend },
            strokeDash: { field: 'subject', type: 'nominal', scale: dash, legend },
          },
        },
        ...(few
          ? [
              {
                mark: { type: 'point' as const, filled: true, size: 55, opacity: 1 },
                encoding: {
                  x: xAxis,
                  y: { field: 'value', type: 'quantitative' as const, title: yTitle },
                  color: { field: 'subject', type: 'nominal' as const, scale: color, legend },
                  shape: { field: 'subject', type: 'nominal' as const, scale: shape, legend: null },
                },
              },
            ]
          : []),
      ],
    },
  };
}
