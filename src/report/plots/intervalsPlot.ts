import type { FigureInfo, Measure, Plot } from '../report.js';
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

/** Height of a subject's line in pixels. */
const ROW_HEIGHT = 24;

/** The figures of one subject. */
export interface PlottedSubject {
  readonly name: string;
  readonly figures: ReadonlyMap<string, Measure>;
  /** Values of single seeds, drawn small, by figure. */
  readonly seeds?: ReadonlyMap<string, readonly number[]>;
}

export interface IntervalsPlot extends PlotTitle {
  readonly name: string;
  readonly figures: readonly FigureInfo[];
  readonly subjects: readonly PlottedSubject[];
}

/** Figures that some subject has a value of: others would have an empty panel. */
function withValues(figures: readonly FigureInfo[], subjects: readonly PlottedSubject[]): FigureInfo[] {
  return figures.filter(({ name }) =>
    subjects.some(({ figures: own, seeds }) => (own.get(name)?.value ?? null) !== null || seeds?.get(name)?.length),
  );
}

/** Figures with their intervals: a panel per figure with an axis of its own, in it a dot and a line per subject. None without a value. */
export function intervalsPlot({ name, title, about, figures, subjects }: IntervalsPlot): Plot | undefined {
  const labels = plotLabels(subjects.map((subject) => subject.name));
  const { color, shape } = seriesScales(labels);
  const panels = withValues(figures, subjects).map(({ name: figure, label, unit, better }) => {
    const values = subjects.flatMap(({ figures: measures }, i) => {
      const measure = measures.get(figure);
      if (measure === undefined || measure.value === null) return [];
      const [lower, upper] = measure.interval ?? [null, null];
      return [
        {
          subject: labels[i]!,
          value: plotted(measure.value, unit),
          ...(lower !== null && upper !== null && { lower: plotted(lower, unit), upper: plotted(upper, unit) }),
        },
      ];
    });
    const seeds = subjects.flatMap(({ seeds: own }, i) =>
      (own?.get(figure) ?? []).map((value) => ({ subject: labels[i]!, value: plotted(value, unit) })),
    );
    const y = {
      field: 'subject',
      type: 'nominal' as const,
      title: null,
      sort: null,
      scale: { domain: labels },
      axis: { grid: true, ticks: false, domain: false, labelPadding: 8 },
    };
    const colour = { field: 'subject', type: 'nominal' as const, scale: color, legend: null };
    const ends = values.flatMap(({ value, lower, upper }) => [value, lower, upper]);
    const scale = { nice: true, ...valueScale([...ends, ...seeds.map(({ value }) => value)]) };
    return {
      width: PANEL_WIDTH,
      height: { step: ROW_HEIGHT },
      layer: [
        {
          data: { values: values.filter((value) => value.lower !== undefined) },
          mark: { type: 'rule' as const, strokeWidth: 2 },
          encoding: {
            y,
            x: {
              field: 'lower',
              type: 'quantitative' as const,
              scale,
              title: `${plotLabel(label)}${UNIT_LABELS[unit]} (${better} is better)`,
            },
            x2: { field: 'upper' },
            color: colour,
          },
        },
        {
          data: { values: seeds },
          mark: { type: 'point' as const, filled: false, size: 35, opacity: 0.8 },
          encoding: { y, x: { field: 'value', type: 'quantitative' as const, scale }, color: colour },
        },
        {
          data: { values },
          mark: { type: 'point' as const, filled: true, size: 90, opacity: 1 },
          encoding: {
            y,
            x: { field: 'value', type: 'quantitative' as const, scale },
            color: colour,
            shape: { field: 'subject', type: 'nominal' as const, scale: shape, legend: null },
          },
        },
      ],
    };
  });
  if (panels.length === 0) return undefined;
  return {
    type: 'plot',
    name,
    alt: `${title}: figures with 95 % intervals`,
    spec: { ...frame({ title, about }), vconcat: panels, spacing: 26 },
  };
}
