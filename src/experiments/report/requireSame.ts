import type { EvaluationResult } from '../../evaluate/result/schema.js';
import { countText } from '../../report/results/about.js';
import { itemPlaces } from '../../report/results/itemPlaces.js';
import { optionDifferences } from '../../report/results/optionDifferences.js';
import { changedSets, haveSameSets } from '../../report/results/sameData.js';
import { ExperimentError } from '../experimentError.js';

/**
 * Results of an evaluation have to be measured on the same images with the same options. Their protocols may differ, since they may
 * follow from the network's family: see `byProtocol`.
 */

/** A result of an evaluation, and the folder of the cell that has it. */
export interface CellResult {
  readonly folder: string;
  readonly result: EvaluationResult;
}

/** A cell with its result of an evaluation. */
export interface MeasuredCell<Cell> extends CellResult {
  readonly cell: Cell;
}

/** Cells that have a result of an evaluation. */
export function measuredCells<Cell extends { readonly results: ReadonlyMap<string, CellResult> }>(
  cells: readonly Cell[],
  evaluation: string,
): MeasuredCell<Cell>[] {
  return cells.flatMap((cell) => {
    const found = cell.results.get(evaluation);
    return found === undefined ? [] : [{ cell, ...found }];
  });
}

/** The same items, in any order. */
const sameItems = ({ items }: EvaluationResult, { items: other }: EvaluationResult): boolean =>
  items === undefined || other === undefined ? items === other : itemPlaces(items, other) !== undefined;

type Measured = MeasuredCell<{ readonly seed: number }>;

/** Whether each was evaluated with its seed of training: cells of one seed are then paired, and the others are not. */
const followTraining = (...measured: readonly Measured[]): boolean =>
  measured.every(({ cell, result }) => cell.seed === result.seed);

/** What is not the same in two results, and how; undefined if they can be compared. */
function differenceOf(of: Measured, other: Measured): { what: string; how: readonly string[] } | undefined {
  const [a, b] = [of.result, other.result];
  if (!haveSameSets(a, b) || !sameItems(a, b)) return { what: 'on other images', how: [] };
  const numbers = a.data.flatMap(({ role, images }, i) => {
    const also = b.data[i]!.images;
    return images === also ? [] : [`${countText(images)} and ${countText(also)} ${role} images`];
  });
  if (numbers.length > 0) return { what: 'on other images', how: numbers };
  const changed = changedSets(a, b).map((set) => a.data[set]!.role);
  if (changed.length > 0) {
    return { what: 'on other images', how: [`files of other contents under the same names: ${changed.join(', ')}`] };
  }
  const options = optionDifferences(a, b)
    .filter(({ name }) => name !== 'seed' || !followTraining(of, other))
    .map(({ name, values }) => `${name} is ${values.join(' and ')}`);
  return options.length > 0 ? { what: 'with other options', how: options } : undefined;
}

/** @throws ExperimentError for cells that were evaluated on other images, or with other options, than the first. */
export function requireSame(evaluation: string, measured: readonly Measured[]): void {
  const [first] = measured;
  for (const each of measured.slice(1)) {
    const difference = differenceOf(each, first!);
    if (difference === undefined) continue;
    const { what, how } = difference;
    throw new ExperimentError(
      `evaluation ${evaluation} was made ${what} in ${each.folder} than in ${first!.folder}${how.length > 0 ? ` (${how.join(', ')})` : ''}; ` +
        'make it again on the same data and with the same flags and seed',
    );
  }
}
