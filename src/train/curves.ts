import type { TopLevelSpec } from 'vega-lite';
import { drawPlot } from '../plot/draw.js';
import type { CurvePoint } from './curvePoints.js';
import { LOGGED_TERMS, PANELS, type Term } from './loggedTerms.js';

/** Pictures of what runs log, as SVG. */

/** One line of a panel. */
interface Line {
  readonly name: string;
  readonly term: string;
  readonly points: readonly CurvePoint[];
}

interface Panel {
  readonly title: string;
  readonly lines: readonly Line[];
  /** Whether the axis begins at zero. */
  readonly zero: boolean;
}

/** A run in a comparison. */
export interface RunCurves {
  readonly name: string;
  readonly points: readonly CurvePoint[];
}

function drawn({ lines }: Panel): { step: number; value: number; line: string }[] {
  return lines.flatMap(({ name, term, points }) =>
    points.flatMap(({ step, means }) => (means[term] === undefined ? [] : [{ step, value: means[term], line: name }])),
  );
}

/** Draws panels, two in a row, as SVG. Panels without a point are left out. */
function draw(title: string, panels: readonly Panel[]): Promise<string> {
  const filled = panels.map((panel) => ({ ...panel, values: drawn(panel) })).filter(({ values }) => values.length > 0);
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title,
    columns: 2,
    concat: filled.map(({ title: panel, lines, zero, values }) => ({
      title: panel,
      width: 360,
      height: 200,
      data: { values },
      // A single point has no line.
      mark: { type: 'line', strokeWidth: 1.2, point: values.length <= lines.length },
      encoding: {
        x: { field: 'step', type: 'quantitative' },
        y: { field: 'value', type: 'quantitative', title: null, scale: { zero } },
        color: {
          field: 'line',
          type: 'nominal',
          title: null,
          sort: lines.map(({ name }) => name),
        },
      },
    })),
    resolve: { scale: { color: 'independent' } },
  };
  return drawPlot(spec);
}

/** Draws a run's loss terms, collapse monitors and accuracies over its steps, as SVG. */
export function drawRun({ name, points }: RunCurves): Promise<string> {
  return draw(
    name,
    Object.entries(PANELS).map(([panel, { title, zero }]) => {
      const terms = (Object.keys(LOGGED_TERMS) as Term[]).filter((term) => LOGGED_TERMS[term].panel === panel);
      return { title, lines: terms.map((term) => ({ name: term, term, points })), zero };
    }),
  );
}

/** Draws runs over each other, a panel for each term, as SVG. */
export function drawComparison(runs: readonly RunCurves[], terms: readonly string[]): Promise<string> {
  return draw(
    runs.map(({ name }) => name).join(', '),
    terms.map((term) => ({
      title: term,
      lines: runs.map(({ name, points }) => ({ name, term, points })),
      zero: false,
    })),
  );
}
