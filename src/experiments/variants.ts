import type { Setting } from '../train/configFile.js';
import { ExperimentError } from './experimentError.js';
import type { SettingsGroup } from './fileSchema.js';
import type { ExperimentDocument } from './readExperimentFile.js';

/** Variants of an experiment: those that its file names, crossed with its matrix. */

/** What the folder of an experiment holds beside its variants. */
const TAKEN = new Set(['report', 'experiment.json']);

/** A variant as keys and values, before they are laid over the recipe. */
export interface VariantSettings {
  readonly name: string;
  /** Its entry under `variants`; empty in an experiment with a matrix alone. */
  readonly group: string;
  /** Label of its value on each axis of the matrix. */
  readonly coordinates: Readonly<Record<string, string>>;
  /** Numeric values of axes that have them, for plots. */
  readonly numbers: Readonly<Record<string, number>>;
  readonly settings: readonly Setting[];
}

function isGroup(value: unknown): value is SettingsGroup {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/**
 * Keys and values as the settings of `train --set`, one for each value; keys may be nested or have points.
 * @param where names them in errors, such as `set`.
 */
export function settingsOf(group: SettingsGroup, where: string): Setting[] {
  const leaves = (value: unknown, path: string): [string, unknown][] =>
    isGroup(value) && Object.keys(value).length > 0
      ? Object.entries(value).flatMap(([key, inner]) => leaves(inner, path === '' ? key : `${path}.${key}`))
      : [[path, value]];
  return Object.keys(group).length === 0
    ? []
    : leaves(group, '').map(([key, value]) => {
        const text = `${key}=${JSON.stringify(value)}`;
        return { text, flag: `${where}: ${text}` };
      });
}

interface AxisValue {
  readonly label: string;
  readonly suffix: string;
  readonly number: number | undefined;
  readonly settings: readonly Setting[];
}

/** The number that a value stands for in plots: a number, or a list of equal ones such as [4, 4] matches. */
function numberOf(value: unknown): number | undefined {
  const [first, ...rest] = Array.isArray(value) ? (value as unknown[]) : [value];
  return typeof first === 'number' && rest.every((each) => each === first) ? first : undefined;
}

const plain = (value: unknown): string =>
  (Array.isArray(value) ? value.map(plain).join('-') : String(value)).replaceAll(/[^A-Za-z0-9.+-]+/g, '-');

function axisValues(axis: string, values: readonly unknown[] | Readonly<Record<string, SettingsGroup>>): AxisValue[] {
  if (!Array.isArray(values)) {
    return Object.entries(values as Readonly<Record<string, SettingsGroup>>).map(([label, group]) => ({
      label,
      suffix: label,
      number: undefined,
      settings: settingsOf(group, `matrix.${axis}.${label}`),
    }));
  }
  return values.map((value) => ({
    number: numberOf(value),
    label: typeof value === 'string' ? value : JSON.stringify(value),
    suffix: `${axis.slice(axis.lastIndexOf('.') + 1)}-${plain(value)}`,
    settings: settingsOf({ [axis]: value }, `matrix.${axis}`),
  }));
}

/**
 * The variants in their order: the values of the last axis change first.
 * @throws ExperimentError for two of the same name.
 */
export function crossVariants({ path, variants, matrix }: ExperimentDocument): VariantSettings[] {
  let crossed: VariantSettings[] = [...variants].map(([name, group]) => ({
    name,
    group: name,
    coordinates: {},
    numbers: {},
    settings: settingsOf(group, `variants.${name}`),
  }));
  if (crossed.length === 0) crossed = [{ name: '', group: '', coordinates: {}, numbers: {}, settings: [] }];
  for (const [axis, values] of matrix) {
    crossed = crossed.flatMap((variant) =>
      axisValues(axis, values).map(({ label, suffix, number, settings }) => ({
        group: variant.group,
        name: variant.name === '' ? suffix : `${variant.name}_${suffix}`,
        coordinates: { ...variant.coordinates, [axis]: label },
        numbers: { ...variant.numbers, ...(number !== undefined && { [axis]: number }) },
        settings: [...variant.settings, ...settings],
      })),
    );
  }
  const named = crossed.map((variant) => (variant.name === '' ? { ...variant, name: 'base' } : variant));
  const taken = named.find(({ name }) => TAKEN.has(name));
  if (taken !== undefined) {
    throw new ExperimentError(
      `${path}: a variant cannot be named ${taken.name}: the folder of the experiment has another file or folder of that name; choose another`,
    );
  }
  const twice = named.find(({ name }, i) => named.findIndex((other) => other.name === name) < i);
  if (twice !== undefined) {
    throw new ExperimentError(
      `${path}: two variants are named ${twice.name}; name the values of the matrix (docs/experiments.md)`,
    );
  }
  return named;
}
