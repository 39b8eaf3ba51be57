import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drawPlot } from '../../plot/draw.js';
import type { Definition } from '../definition.js';
import { axisPlots } from './axisPlots.js';
import type { EvaluationTable } from './gather.js';

const top1 = { name: 'top1', label: 'top-1', unit: 'share', better: 'higher' } as const;

/** Variants of a matrix of matches and networks, in the order of the file. */
function experiment(matches: readonly number[], networks: readonly string[]) {
  const cells = matches.flatMap((count) => networks.map((network) => ({ count, network })));
  const variants = cells.map(({ count, network }) => ({
    ...{ name: `m-${count}_${network}`, group: '', changes: [], digest: '' },
    coordinates: { 'loss.numMatches': `[${count},${count}]`, network },
    numbers: { 'loss.numMatches': count },
  }));
  const definition = { variants, seeds: [1], evaluations: [] } as unknown as Definition;
  const table: EvaluationTable = {
    ...{ name: 'knn', title: 'knn: k-NN', about: 'about', figures: [top1], differences: [], notes: [] },
    variants: variants.map(({ name }) => name),
    measures: variants.flatMap(({ name: variant }, i) => [
      { variant, seed: 1, figure: 'top1', value: 0.9 },
      { variant, seed: null, figure: 'top1', value: i / 10, interval: [i / 10 - 0.05, i / 10 + 0.05] as const },
    ]),
  };
  return axisPlots(table, definition);
}

describe('plots against an axis of the matrix', () => {
  it('have a line for each combination of the other axes, sorted by the axis, with means over seeds', async () => {
    const [plot, ...others] = experiment([16, 1, 4], ['atto', 'resnet18']);
    assert.deepEqual([plot!.name, others], ['knn-against-loss.numMatches', []]);
    interface Spec {
      concat: { layer: { data: { values: { at: number; value: number }[] } }[] }[];
    }
    const [panel] = (plot!.spec as unknown as Spec).concat;
    assert.deepEqual(
      panel!.layer[0]!.data.values.map(({ at, value }) => [at, value]),
      [
        [1, 20],
        [4, 40],
        [16, 0],
      ],
    );
    const svg = await drawPlot(plot!.spec);
    for (const text of ['network atto', 'network resnet18', '>16<']) assert.ok(svg.includes(text), text);
  });

  it('are left out for fewer than two positions', () => {
    assert.deepEqual(experiment([4], ['atto']), []);
  });
});
