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
  valueScale,
} from './frame.js';

/** One line. */
export interface PlottedCurve {
  readonly subject: string;
  readonly x: readonly number[];
  /** null where there is no value: the line is interrupted. */
  readonly y: readonly (number | null)[];
  readonly intervals?: readonly Interval[];
}

/** What a panel shows on its axis, and its lines. */
export interface CurvesPanel {
  readonly y: { readonly label: string; readonly unit: Unit };
  readonly curves: readonly PlottedCurve[];
}

interface Lines extends PlotTitle {
  readonly name: string;
  readonly x: string;
  /** All subjects of the report, so that each has the same colour in all plots. */
  readonly subjects: readonly string[];
}

export interface CurvesPlot extends Lines, CurvesPanel {}

export interface CurvePanelsPlot extends Lines {
  /** The positions are settings with nothing between them: each has a tick. */
  readonly positions: 'linear' | 'log';
  readonly panels: readonly CurvesPanel[];
}

/** Curves of more points are drawn without dots. */
const MOST_DOTS = 12;
/** Points without a value interrupt a line. */
const GAP = 'break-paths-filter-domains' as const;
/** Two panels in a row. */
const SMALL_WIDTH = 300;

interface PanelStyle {
  readonly width: number;
  readonly height: number;
  readonly positions?: 'linear' | 'log';
  readonly hasLegend: boolean;
}

const hasValue = ({ curves }: CurvesPanel): boolean => curves.some((curve) => curve.y.some((value) => value !== null));

function panel({ x, subjects }: Lines, { y, curves }: CurvesPanel, style: PanelStyle) {
  const { width, height, positions, hasLegend } = style;
  const isPanel = positions !== undefined;
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
    scale: positions === 'log' ? { type: 'log' as const, nice: false } : { zero: false, nice: false },
    ...(positions !== undefined && {
      // As they are: rounded labels could be those of other settings.
      axis: { values: [...new Set(curves.flatMap((curve) => curve.x))], labelExpr: "'' + datum.value" },
    }),
  };
  const scale = valueScale(
    points.flatMap(({ values }) => values.flatMap(({ value, lower, upper }) => [value, lower, upper])),
  );
  const yAxis = { field: 'value', type: 'quantitative' as const, title: isPanel ? null : yTitle, scale };
  const few = Math.max(0, ...curves.map((curve) => curve.x.length)) <= MOST_DOTS;
  // Several labels in a row would be wider than the plot.
  const legend = hasLegend
    ? { orient: 'bottom' as const, columns: 2, title: null, values: drawn, symbolSize: 400 }
    : null;
  return {
    width,
    height,
    // Beside a low panel it would be too long.
    ...(isPanel && {
      title: { text: yTitle, frame: 'group' as const, fontSize: 12, fontWeight: 'normal' as const, offset: 6 },
    }),
    layer: [
      // Bands and dots have fixed colours, without a scale, whose legend would show dots in place of lines.
      ...points.map(({ colour, values }) => ({
        data: { values },
        mark: { type: 'area' as const, color: colour, opacity: 0.14, invalid: GAP },
        encoding: { x: xAxis, y: { ...yAxis, field: 'lower' }, y2: { field: 'upper' } },
      })),
      {
        data: { values: points.flatMap(({ values }) => values) },
        mark: { type: 'line' as const, strokeWidth: 2, invalid: GAP },
        encoding: {
          x: xAxis,
          y: yAxis,
          detail: { field: 'line', type: 'nominal' as const },
          color: { field: 'subject', type: 'nominal' as const, scale: color, legend },
          strokeDash: { field: 'subject', type: 'nominal' as const, scale: dash, legend },
        },
      },
      ...(few ? points : []).map(({ colour, values }) => ({
        data: { values: values.filter(({ value }) => value !== null) },
        mark: { type: 'point' as const, filled: true, color: colour, size: 55, opacity: 1 },
        encoding: { x: xAxis, y: yAxis },
      })),
    ],
  };
}

/** Lines with bands of their 95 % intervals. None without a value. */
export function curvesPlot(plot: CurvesPlot): Plot | undefined {
  if (!hasValue(plot)) return undefined;
  const style = { width: PANEL_WIDTH + 100, height: 300, hasLegend: true };
  return {
    type: 'plot',
    name: plot.name,
    alt: `${plot.title} (${plot.y.label} against ${plot.x})`,
    spec: { ...frame(plot), ...panel(plot, plot, style) },
  };
}

/**
 * Several quantities against the same settings: a panel of lines and bands for each. Panels without a value are left out, and the
 * legend of a single line. None without a panel.
 */
export function curvePanelsPlot({ panels, positions, ...plot }: CurvePanelsPlot): Plot | undefined {
  const filled = panels.filter(hasValue);
  if (filled.length === 0) return undefined;
  const hasLegend = plot.subjects.length > 1;
  return {
    type: 'plot',
    name: plot.name,
    alt: `${plot.title} (against ${plot.x}, with 95 % intervals)`,
    spec: {
      ...frame(plot),
      columns: 2,
      spacing: 30,
      concat: filled.map((each) => panel(plot, each, { width: SMALL_WIDTH, height: 200, positions, hasLegend })),
    },
  };
}
