import type { TopLevelSpec } from 'vega-lite';
import { COMPARED_TERMS } from '../../train/loggedTerms.js';
import type { Definition } from '../definition.js';
import type { Plot } from './blocks.js';
import type { EvaluationTable, FigureInfo, VariantCurves } from './gather.js';

/** Plots of an experiment, as Vega-Lite specifications. */

const SCHEMA = 'https://vega.github.io/schema/vega-lite/v6.json';

const pictureName = (...parts: readonly string[]): string =>
  parts
    .join('-')
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replaceAll(/^-|-$/g, '');

const shownValue = (value: number, { unit }: FigureInfo) => (unit === 'share' ? value * 100 : value);
const axisTitle = ({ label, unit }: FigureInfo) =>
  ({ share: `${label}, %`, pixels: `${label}, pixels`, number: label })[unit];

function boundsOf({ interval }: { readonly interval?: readonly [number | null, number | null] }, figure: FigureInfo) {
  const [low, high] = interval ?? [null, null];
  return low === null || high === null ? {} : { low: shownValue(low, figure), high: shownValue(high, figure) };
}

/** A figure of all variants: means with intervals, and each seed as a small ring. */
export function variantsPlot({ name, measures, variants }: EvaluationTable, figure: FigureInfo): Plot {
  const values = measures
    .filter((measure) => measure.figure === figure.name && measure.value !== null)
    .map(({ variant, seed, value, ...measure }) => ({
      variant,
      of: seed === null ? 'mean' : 'seed',
      value: shownValue(value!, figure),
      ...boundsOf(measure, figure),
    }));
  const y = { field: 'variant', type: 'nominal', sort: [...variants], title: null, axis: { labelLimit: 0 } } as const;
  const x = { type: 'quantitative', title: axisTitle(figure), scale: { zero: false } } as const;
  const spec: TopLevelSpec = {
    $schema: SCHEMA,
    title: `${name}: ${figure.label}`,
    background: 'white',
    width: 420,
    height: { step: 26 },
    data: { values },
    layer: [
      {
        transform: [{ filter: "datum.of == 'seed'" }],
        mark: { type: 'point', size: 24, opacity: 0.6 },
        encoding: { y, x: { ...x, field: 'value' } },
      },
      {
        transform: [{ filter: "datum.of == 'mean' && isValid(datum.low)" }],
        mark: { type: 'rule', strokeWidth: 2 },
        encoding: { y, x: { ...x, field: 'low' }, x2: { field: 'high' } },
      },
      {
        transform: [{ filter: "datum.of == 'mean'" }],
        mark: { type: 'point', filled: true, size: 70, opacity: 1 },
        encoding: { y, x: { ...x, field: 'value' } },
      },
    ],
  };
  return {
    type: 'plot',
    name: pictureName(name, figure.name),
    alt: `${figure.label} of each variant, with 95 % intervals and the values of single seeds`,
    spec,
  };
}

/** A figure against a numeric axis of the matrix, a line for each combination of the other axes. */
export function axisPlot(
  { name, measures }: EvaluationTable,
  figure: FigureInfo,
  axis: string,
  { variants }: Definition,
): Plot | undefined {
  const values = variants.flatMap((variant) => {
    const measure = measures.find(
      (each) => each.variant === variant.name && each.figure === figure.name && each.seed === null,
    );
    const x = variant.numbers[axis];
    if (x === undefined || measure === undefined || measure.value === null) return [];
    const others = Object.entries(variant.coordinates).filter(([other]) => other !== axis);
    const line = [variant.group, ...others.map(([key, label]) => `${key} ${label}`)].filter((part) => part !== '');
    return [
      {
        x,
        value: shownValue(measure.value, figure),
        line: line.join(', ') || figure.label,
        ...boundsOf(measure, figure),
      },
    ];
  });
  if (new Set(values.map(({ x }) => x)).size < 2) return undefined;
  const x = { field: 'x', type: 'quantitative', title: axis, scale: { zero: false } } as const;
  const y = { type: 'quantitative', title: axisTitle(figure), scale: { zero: false } } as const;
  const color = { field: 'line', type: 'nominal', title: null, legend: { labelLimit: 0 } } as const;
  const spec: TopLevelSpec = {
    $schema: SCHEMA,
    title: `${name}: ${figure.label} against ${axis}`,
    background: 'white',
    width: 420,
    height: 260,
    data: { values },
    layer: [
      { mark: { type: 'line', point: true }, encoding: { x, y: { ...y, field: 'value' }, color } },
      {
        transform: [{ filter: 'isValid(datum.low)' }],
        mark: { type: 'rule' },
        encoding: { x, y: { ...y, field: 'low' }, y2: { field: 'high' }, color },
      },
    ],
  };
  return {
    type: 'plot',
    name: pictureName(name, figure.name, 'against', axis),
    alt: `${figure.label} against ${axis}, with 95 % intervals`,
    spec,
  };
}

/** Training curves: the mean over seeds of each logged term, with a band from the smallest to the largest seed. */
export function curvesPlot(curves: readonly VariantCurves[]): Plot | undefined {
  const values = curves.flatMap(({ variant, runs }) => {
    const steps = [...new Set(runs.flatMap(({ points }) => points.map(({ step }) => step)))].sort((a, b) => a - b);
    return steps.flatMap((step) =>
      COMPARED_TERMS.flatMap((term) => {
        const of = runs.flatMap(({ points }) => {
          const value = points.find((point) => point.step === step)?.means[term];
          return value === undefined ? [] : [value];
        });
        // Where only some seeds have a point, the mean would jump.
        if (of.length < runs.length || of.length === 0) return [];
        const mean = of.reduce((sum, value) => sum + value, 0) / of.length;
        return [{ variant, step, term, mean, low: Math.min(...of), high: Math.max(...of) }];
      }),
    );
  });
  const terms = COMPARED_TERMS.filter((term) => values.some((value) => value.term === term));
  if (terms.length === 0) return undefined;
  const spec: TopLevelSpec = {
    $schema: SCHEMA,
    title: 'Training: mean over seeds, with the range of the seeds',
    background: 'white',
    columns: 2,
    concat: terms.map((term) => ({
      title: term,
      width: 360,
      height: 200,
      data: { values: values.filter((value) => value.term === term) },
      encoding: {
        x: { field: 'step', type: 'quantitative' },
        color: {
          field: 'variant',
          type: 'nominal',
          title: null,
          sort: curves.map(({ variant }) => variant),
          legend: { labelLimit: 0 },
        },
      },
      layer: [
        {
          mark: { type: 'area', opacity: 0.2 },
          encoding: {
            y: { field: 'low', type: 'quantitative', title: null, scale: { zero: false } },
            y2: { field: 'high' },
          },
        },
        { mark: { type: 'line', strokeWidth: 1.2 }, encoding: { y: { field: 'mean', type: 'quantitative' } } },
      ],
    })),
  };
  return {
    type: 'plot',
    name: 'training',
    alt: 'Loss terms and monitors of each variant over the steps',
    spec,
  };
}
