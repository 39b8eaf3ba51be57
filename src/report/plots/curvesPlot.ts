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
  /** Default linear. A logarithmic axis has a tick at each position. */
  readonly xScale?: 'linear' | 'log';
  readonly y: { readonly label: string; readonly unit: Unit };
  /** All subjects of the report, so that each has the same colour in all plots. */
  readonly subjects: readonly string[];
  readonly curves: readonly PlottedCurve[];
}

/** Curves of more points are drawn without dots. */
const MOST_DOTS = 12;
/** Points without a value interrupt a line. */
const GAP = 'break-paths-filter-domains' as const;

/** Lines with bands of their 95 % intervals. None without a value. */
export function curvesPlot({ name, title, about, x, xScale = 'linear', y, subjects, curves }: CurvesPlot): Plot | undefined {
  if (curves.every((curve) => curve.y.every((value) => value === null))) return undefined;
  const all = plotLabels(subjects);
  const { color, dash } = seriesScales(all);
  const drawn = all.filter((_, i) => curves.some(({ subject }) => subject === subjects[i]));
  const points = curves.map((curve, line) => {
    const at = subjects.indexOf(curve.subject);
    const values = curve.x.map((where, i) => {
      const value = curve.y[i] ?? null;
      const [lower, upper] = curve.intervals?.[i] ?? [null, null];
      const has = lower !== null && upper !== null;
      return {
        subject: all[at]!,
        line,
        at: where,
        value: value === null ? null : plotted(value, y.unit),
        lower: has ? plotted(lower, y.unit) : null,
        upper: has ? plotted(upper, y.unit) : null,
      };
    });
    return { colour: color.range[at]!, values };
  });
  const yTitle = `${plotLabel(y.label)}${UNIT_LABELS[y.unit]}`;
  const xAxis = {
    field: 'at',
    type: 'quantitative' as const,
    title: plotLabel(x),
    scale: { type: xScale, zero: false, nice: false },
    ...(xScale === 'log' && { axis: { values: [...new Set(curves.flatMap((curve) => curve.x))] } }),
  };
  const yAxis = { field: 'value', type: 'quantitative' as const, title: yTitle, scale: { zero: false } };
  const few = Math.max(0, ...curves.map((curve) => curve.x.length)) <= MOST_DOTS;
  // Several labels in a row would be wider than the plot.
  const legend = { orient: 'bottom' as const, columns: 2, title: null, values: drawn, symbolSize: 400 };
  return {
    type: 'plot',
    name,
    alt: `${title} (${y.label} against ${x})`,
    spec: {
      ...frame({ title, about }),
      width: PANEL_WIDTH + 100,
      height: 300,
      layer: [
        // Bands and dots have fixed colours, without a scale, whose legend would show dots in place of lines.
        ...points.map(({ colour, values }) => ({
          data: { values },
          mark: { type: 'area' as const, color: colour, opacity: 0.14, invalid: GAP },
          encoding: { x: xAxis, y: { ...yAxis, field: 'lower' }, y2: { field: 'upper' } },
        })),
        {
          data: { values: points.flatMap(({ values }) => values) },
          mark: { type: 'line', strokeWidth: 2, invalid: GAP },
          encoding: {
            x: xAxis,
            y: yAxis,
            detail: { field: 'line', type: 'nominal' },
            color: { field: 'subject', type: 'nominal', scale: color, legend },
            strokeDash: { field: 'subject', type: 'nominal', scale: dash, legend },
          },
        },
        ...(few ? points : []).map(({ colour, values }) => ({
          data: { values: values.filter(({ value }) => value !== null) },
          mark: { type: 'point' as const, filled: true, color: colour, size: 55, opacity: 1 },
          encoding: { x: xAxis, y: yAxis },
        })),
      ],
    },
  };
}
