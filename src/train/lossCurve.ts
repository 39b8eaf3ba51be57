import { parse, View } from 'vega';
import { compile, type TopLevelSpec } from 'vega-lite';
import type { StepRecord } from './runLog.js';

/** Panels of the picture: titles and the log's names. */
const PANELS: readonly (readonly [string, readonly string[]])[] = [
  ['total loss', ['l']],
  ['global terms (weighted)', ['inv_l', 'var_l', 'cov_l']],
  ['local terms (weighted)', ['minv_l', 'mvar_l', 'mcov_l']],
  ['collapse monitors (std of normalised vectors)', ['stdr', 'stde']],
];

/** Points of a line: more cannot be told apart at this size. */
const MOST_POINTS = 400;

/** Each point is the mean of the steps it stands for. */
function thinned(records: readonly StepRecord[], term: string): { step: number; value: number; term: string }[] {
  const stride = Math.max(1, Math.ceil(records.length / MOST_POINTS));
  const points: { step: number; value: number; term: string }[] = [];
  for (let start = 0; start < records.length; start += stride) {
    const group = records.slice(start, start + stride).filter((record) => record[term] !== undefined);
    if (group.length === 0) continue;
    const value = group.reduce((sum, record) => sum + record[term]!, 0) / group.length;
    points.push({ step: group.at(-1)!.step, value, term });
  }
  return points;
}

/** Draws a run's loss terms and collapse monitors over its steps, as SVG. */
export async function drawLossCurve(title: string, records: readonly StepRecord[]): Promise<string> {
  const spec: TopLevelSpec = {
    $schema: 'https://vega.github.io/schema/vega-lite/v6.json',
    title,
    background: 'white',
    columns: 2,
    concat: PANELS.map(([panel, terms]) => ({
      title: panel,
      width: 360,
      height: 200,
      data: { values: terms.flatMap((term) => thinned(records, term)) },
      mark: { type: 'line', strokeWidth: 1.2 },
      encoding: {
        x: { field: 'step', type: 'quantitative' },
        y: { field: 'value', type: 'quantitative', title: null, scale: { zero: panel !== 'total loss' } },
        color: { field: 'term', type: 'nominal', title: null, sort: [...terms] },
      },
    })),
    resolve: { scale: { color: 'independent' } },
  };
  return new View(parse(compile(spec).spec), { renderer: 'none' }).toSVG();
}
