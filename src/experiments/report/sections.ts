import type { Block, Report, Section, Table } from './blocks.js';
import type { EvaluationTable, ExperimentReport, FigureInfo, VariantDifference, VariantMeasure } from './gather.js';
import { axisPlot, curvesPlot, variantsPlot } from './plots.js';

/** An experiment's results as a report. */

const scaled = (value: number, { unit }: FigureInfo) => (unit === 'share' ? value * 100 : value);
const digits = (value: number, { unit }: FigureInfo) =>
  unit === 'share' ? value.toFixed(1) : String(Number(value.toPrecision(3)));

type Bounded = { readonly interval?: readonly [number | null, number | null] };

/** Such as `63.1 % [61.6, 64.6]`, or with a sign `+1.2 points [-0.3, +2.7]`. */
function textOf(value: number | null, { interval }: Bounded, figure: FigureInfo, signed = false): string {
  if (value === null) return 'n/a';
  const number = (of: number) => `${signed && of > 0 ? '+' : ''}${digits(scaled(of, figure), figure)}`;
  const unit = { share: signed ? ' points' : ' %', pixels: ' px', number: '' }[figure.unit];
  const [low, high] = interval ?? [null, null];
  return `${number(value)}${unit}${low === null || high === null ? '' : ` [${number(low)}, ${number(high)}]`}`;
}

const measureText = (measure: VariantMeasure, figure: FigureInfo) => textOf(measure.value, measure, figure);

function verdict({ interval: [low, high] }: VariantDifference, { better }: FigureInfo): string {
  if (low === null || high === null || (low <= 0 && high >= 0)) return 'no';
  return low > 0 === (better === 'higher') ? 'yes: better' : 'yes: worse';
}

function valuesTable({ variants, figures, measures }: EvaluationTable): Table {
  return {
    type: 'table',
    columns: [
      { label: 'variant' },
      { label: 'seeds', align: 'right' },
      ...figures.map(({ label }) => ({ label, align: 'right' as const })),
    ],
    rows: variants.map((variant) => {
      const own = measures.filter((measure) => measure.variant === variant);
      const seeds = new Set(own.flatMap(({ seed }) => (seed === null ? [] : [seed])));
      return [
        variant,
        String(seeds.size),
        ...figures.map((figure) => {
          const mean = own.find((measure) => measure.figure === figure.name && measure.seed === null);
          return mean === undefined ? '' : measureText(mean, figure);
        }),
      ];
    }),
  };
}

function differencesTable({ figures, differences }: EvaluationTable): Table {
  return {
    type: 'table',
    caption: 'Differences to the baseline, paired by seed and, where possible, by item',
    columns: [
      { label: 'figure' },
      { label: 'compared' },
      { label: 'seeds', align: 'right' },
      { label: 'difference', align: 'right' },
      { label: 'interval over' },
      { label: 'excludes 0' },
    ],
    rows: figures.flatMap((figure) =>
      differences
        .filter((difference) => difference.figure === figure.name)
        .map((each) => [
          figure.label,
          `${each.variant} - ${each.baseline}`,
          String(each.seeds.length),
          textOf(each.difference, each, figure, true),
          each.over ?? '',
          verdict(each, figure),
        ]),
    ),
  };
}

function seedsTable({ variants, figures, measures }: EvaluationTable): Table {
  const seeds = [...new Set(measures.flatMap(({ seed }) => (seed === null ? [] : [seed])))].sort((a, b) => a - b);
  return {
    type: 'table',
    caption: 'Each seed, with intervals over items',
    columns: [
      { label: 'variant' },
      { label: 'seed', align: 'right' },
      ...figures.map(({ label }) => ({ label, align: 'right' as const })),
    ],
    rows: variants.flatMap((variant) =>
      seeds.flatMap((seed) => {
        const own = measures.filter((measure) => measure.variant === variant && measure.seed === seed);
        if (own.length === 0) return [];
        const cells = figures.map((figure) => {
          const measure = own.find((each) => each.figure === figure.name);
          return measure === undefined ? '' : measureText(measure, figure);
        });
        return [[variant, String(seed), ...cells]];
      }),
    ),
  };
}

function evaluationSection(table: EvaluationTable, { definition }: ExperimentReport): Section {
  const axes = [...new Set(definition.variants.flatMap(({ numbers }) => Object.keys(numbers)))];
  const blocks: Block[] = [
    { type: 'paragraph', text: `${table.protocol}.` },
    valuesTable(table),
    ...(table.differences.length > 0 ? [differencesTable(table)] : []),
    ...table.figures.flatMap((figure) => [
      variantsPlot(table, figure),
      ...axes.flatMap((axis) => axisPlot(table, figure, axis, definition) ?? []),
    ]),
    seedsTable(table),
    ...(table.notes.length > 0 ? [{ type: 'notes' as const, notes: table.notes }] : []),
  ];
  return { title: table.name, blocks };
}

/** The report of an experiment: what was compared, what is missing, and a section for each evaluation. */
export function experimentSections(report: ExperimentReport): Report {
  const { definition, missing, collapsed, curves, seconds, tables } = report;
  const { name, recipe, variants, seeds } = definition;
  const training = curvesPlot(curves);
  const overview: Block[] = [
    {
      type: 'paragraph',
      text:
        `${variants.length} variants, seeds ${seeds.join(', ')}, based on ${recipe}; ${(seconds / 3600).toFixed(1)} hours of training and ` +
        'evaluation. Intervals are 95 % intervals of the mean over new seeds and new items (docs/experiments.md, Intervals).',
    },
    {
      type: 'table',
      columns: [{ label: 'variant' }, { label: 'settings' }, { label: 'compared with' }],
      rows: variants.map((variant) => [
        variant.name,
        variant.changes.join(' '),
        variant.baseline === undefined || variant.baseline === variant.name ? '' : variant.baseline,
      ]),
    },
    ...(missing.length > 0
      ? [
          {
            type: 'table' as const,
            caption: 'Missing',
            columns: [{ label: 'cell' }, { label: 'why' }],
            rows: missing.map(({ cell, reason }) => [cell, reason]),
          },
        ]
      : []),
    ...(collapsed.length > 0
      ? [{ type: 'notes' as const, notes: [`Collapsed at the end of training: ${collapsed.join(', ')}.`] }]
      : []),
  ];
  return {
    title: name,
    sections: [
      { title: 'Experiment', blocks: overview },
      ...tables.map((table) => evaluationSection(table, report)),
      ...(training ? [{ title: 'Training', blocks: [training] }] : []),
    ],
  };
}
