import type { CurvesAnswer } from '../../runsView/contract.js';
import type { Series } from '../shared/Chart.js';

/** A line of a chart before the lines have a common axis. */
export interface Line {
  readonly label: string;
  readonly place: number;
  readonly curves: CurvesAnswer;
  readonly term: string;
}

/** An exponential moving average over the points; gaps stay. */
function smoothed(values: readonly (number | null)[], weight: number): readonly (number | null)[] {
  if (weight === 0) return values;
  let [mean, total] = [0, 0];
  return values.map((value) => {
    if (value === null) return null;
    // Divided by the weights so far, the first points are not drawn towards 0.
    mean = weight * mean + (1 - weight) * value;
    total = weight * total + (1 - weight);
    return mean / total;
  });
}

/** The lines over all steps that any of them has. */
export function joined(lines: readonly Line[], smoothing: number): { readonly x: number[]; readonly series: Series[] } {
  const x = [...new Set(lines.flatMap(({ curves }) => curves.steps))].sort((a, b) => a - b);
  const series = lines.map(({ label, place, curves, term }) => {
    const values = smoothed(curves.terms[term] ?? [], smoothing);
    const at = new Map(curves.steps.map((step, i) => [step, values[i] ?? null]));
    return { label, place, values: x.map((step) => at.get(step) ?? null) };
  });
  return { x, series };
}

export const has = ({ terms }: CurvesAnswer, term: string): boolean =>
  terms[term]?.some((value) => value !== null) ?? false;
