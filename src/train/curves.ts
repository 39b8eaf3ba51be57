import type { TopLevelSpec } from 'vega-lite';
import { drawPlot } from '../plot/draw.js';
import { seriesStyle } from '../plot/theme.js';
import type { CurvePoint } from './curvePoints.js';
import { LOGGED_TERMS, PANELS, type Term } from './loggedTerms.js';

/** Pictures of what runs log. */

/** A point with the range of its values, where it stands for several runs. */
interface RangedPoint extends CurvePoint {
  readonly ranges?: Readonly<Record<string, readonly [number, number]>>;
}

/** One line of a panel. */
interface Line {
  readonly name: string;
  readonly term: string;
  readonly points: readonly RangedPoint[];
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
  /** Whether the axis begins at zero. */
  readonly zero: boolean;
}

/** A run in a comparison, or several of one kind. */
export interface RunCurves {
  readonly name: string;
  readonly points: readonly RangedPoint[];
}

function drawn({ lines }: Panel) {
  return lines.flatMap(({ name, term, points }) =>
    points.flatMap(({ step, means, ranges }) => {
      const [low, high] = ranges?.[term] ?? [];
      return means[term] === undefined ? [] : [{ step, value: means[term], line: name, low, high }];
    }),
  );
}

/**
 * Panels, two in a row. Panels without a point are left out.
 * @param legends whether each panel has its own lines; else they share a legend.
 */
function panelsSpec(title: string, panels: readonly Panel[], legends: 'own' | 'shared'): TopLevelSpec {
  const filled = panels.map((panel) => ({ ...panel, values: drawn(panel) })).filter(({ values }) => values.length > 0);
  return {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title,
    columns: 2,
    concat: filled.map(({ title: panel, lines, zero, values }) => {
      const names = lines.map(({ name }) => name);
      // In a legend of its own, a panel names only what it draws.
      const domain = legends === 'shared' ? names : names.filter((name) => values.some(({ line }) => line === name));
      const styles = domain.map((_, i) => seriesStyle(i));
      const y = { type: 'quantitative' as const, title: null, scale: { zero } };
      const colour = { domain, range: styles.map((style) => style.colour) };
      const ranged = values.filter(({ low, high }) => low !== high);
      return {
        title: { text: panel, frame: 'group' as const },
        width: 360,
        height: 200,
        data: { values },
        encoding: {
          x: { field: 'step', type: 'quantitative' as const },
          color: {
            field: 'line',
            type: 'nominal' as const,
            title: null,
            scale: colour,
            ...(legends === 'shared' && { legend: { orient: 'top' as const, columns: 4 } }),
          },
        },
        layer: [
          // A band over one value would be a line of its own.
          ...(ranged.length === 0
            ? []
            : [
                {
                  mark: { type: 'area' as const, opacity: 0.2 },
                  encoding: { y: { ...y, field: 'low' }, y2: { field: 'high' } },
                },
              ]),
          {
            // A single point has no line.
            mark: { type: 'line' as const, strokeWidth: 1.2, point: values.length <= lines.length },
            encoding: { y: { ...y, field: 'value' } },
          },
        ],
      };
    }),
    resolve: { scale: { color: legends === 'own' ? 'independent' : 'shared' } },
  };
}

/** Draws a run's loss terms, collapse monitors and accuracies over its steps, as SVG. */
export function drawRun({ name, points }: RunCurves): Promise<string> {
  const panels = Object.entries(PANELS).map(([panel, { title, zero }]) => {
    const terms = (Object.keys(LOGGED_TERMS) as Term[]).filter((term) => LOGGED_TERMS[term].panel === panel);
    return { title, lines: terms.map((term) => ({ name: term, term, points })), zero };
  });
  return drawPlot(panelsSpec(name, panels, 'own'));
}

/** Runs over each other, with a panel for each term. */
export function comparisonSpec(title: string, runs: readonly RunCurves[], terms: readonly string[]): TopLevelSpec {
  const panels = terms.map((term) => ({
    title: term,
    lines: runs.map(({ name, points }) => ({ name, term, points })),
    zero: false,
  }));
  return panelsSpec(title, panels, 'shared');
}

/** Draws runs over each other, a panel for each term, as SVG. */
export function drawComparison(runs: readonly RunCurves[], terms: readonly string[]): Promise<string> {
  return drawPlot(comparisonSpec(runs.map(({ name }) => name).join(', '), runs, terms));
}
