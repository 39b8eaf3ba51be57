import { plotLabels } from '../../report/plots/frame.js';
import type { Plot } from '../../report/report.js';
import type { CurvePoint } from '../../train/curvePoints.js';
import { comparisonSpec } from '../../train/curves.js';
import { COMPARED_TERMS } from '../../train/loggedTerms.js';
import type { VariantCurves } from './gather.js';

/** Means over seeds, with the range of the seeds, where all seeds have a point: else the mean would jump. */
function overSeeds(
  runs: VariantCurves['runs'],
): (CurvePoint & { readonly ranges: Record<string, [number, number]> })[] {
  const bySeed = runs.map(({ points }) => new Map(points.map(({ step, means }) => [step, means])));
  const steps = [...(bySeed[0]?.keys() ?? [])].filter((step) => bySeed.every((points) => points.has(step)));
  return steps.map((step) => {
    const all = bySeed.map((points) => points.get(step)!);
    const terms = Object.keys(all[0]!).filter((term) => all.every((means) => means[term] !== undefined));
    const values = terms.map((term) => ({ term, of: all.map((means) => means[term]!) }));
    return {
      step,
      means: Object.fromEntries(values.map(({ term, of }) => [term, of.reduce((a, b) => a + b, 0) / of.length])),
      ranges: Object.fromEntries(
        values.map(({ term, of }): [string, [number, number]] => [term, [Math.min(...of), Math.max(...of)]]),
      ),
    };
  });
}

/** Training curves of all variants: a panel for each logged term. None before the first step. */
export function trainingPlot(curves: readonly VariantCurves[]): Plot | undefined {
  const labels = plotLabels(curves.map(({ variant }) => variant));
  const runs = curves.map(({ runs: own }, i) => ({ name: labels[i]!, points: overSeeds(own) }));
  if (runs.every(({ points }) => points.length === 0)) return undefined;
  return {
    type: 'plot',
    name: 'training',
    alt: 'Loss terms and monitors of each variant over the steps',
    spec: comparisonSpec('Training: mean over seeds, with the range of the seeds', runs, COMPARED_TERMS),
  };
}
