import { join } from 'node:path';
import { didYouMean } from '../train/configKeys.js';
import type { Experiment, Variant } from './experiment.js';
import { ExperimentError } from './experimentError.js';

/** A variant trained with one seed. */
export interface Cell {
  readonly variant: Variant;
  readonly seed: number;
}

/** Part `index` (from 0) of `count`. */
export interface Shard {
  readonly index: number;
  readonly count: number;
}

export const cellName = ({
  variant,
  seed,
}: {
  readonly variant: { readonly name: string };
  readonly seed: number;
}): string => `${variant.name}/seed-${seed}`;

/** Folder of a cell. */
export const cellFolder = (
  out: string,
  cell: { readonly variant: { readonly name: string }; readonly seed: number },
): string => join(out, cellName(cell));

/**
 * The cells of an experiment: all variants with the first seed, then all with the next, so that an unfinished experiment compares
 * all variants.
 * @param only names of variants; default: all. @param shard every `count`-th of these cells, from `index`.
 * @throws ExperimentError for a variant that does not exist.
 */
export function selectCells(
  { path, variants, seeds }: Experiment,
  { only, shard = { index: 0, count: 1 } }: { readonly only?: readonly string[]; readonly shard?: Shard } = {},
): Cell[] {
  const names = variants.map(({ name }) => name);
  const unknown = only?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    throw new ExperimentError(`--only: ${path} has no variant "${unknown}"; ${didYouMean(unknown, names)}`);
  }
  const selected = variants.filter(({ name }) => only === undefined || only.includes(name));
  const cells = seeds.flatMap((seed) => selected.map((variant) => ({ variant, seed })));
  return cells.filter((_, i) => i % shard.count === shard.index);
}
