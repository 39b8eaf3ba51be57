import { differencesTable, type SubjectDifference } from './differencesTable.js';
import { measureText } from './numbers.js';
import { intervalsPlot } from './plots/intervalsPlot.js';
import type { Block, FigureInfo, Measure, Plot, Section, Text } from './report.js';

/** Tables and plots of variants that were trained with several seeds. */

/** A figure of one variant. */
export interface VariantMeasure extends Measure {
  readonly variant: string;
  /** null: over all seeds, with the interval over seeds. */
  readonly seed: number | null;
  /** `name` of a figure. */
  readonly figure: string;
}

/** A variant less another, paired by seed. */
export interface VariantDifference extends Omit<SubjectDifference, 'subject'> {
  readonly variant: string;
}

export interface VariantsTable {
  /** Begins the names of its pictures: lower-case letters, digits and hyphens. */
  readonly id: string;
  readonly title: string;
  /** Protocol and data, without a point at the end; the plot has it as its subtitle. */
  readonly about: string;
  /** In the order of the columns. */
  readonly figures: readonly FigureInfo[];
  /** In the order of the rows. */
  readonly variants: readonly string[];
  /** Of each variant and figure, those of single seeds and one of all; where that is missing, the seeds' mean stands for it. */
  readonly measures: readonly VariantMeasure[];
  readonly differences?: readonly VariantDifference[];
  /** Further plots, after that of the figures. */
  readonly plots?: readonly Plot[];
  readonly notes?: readonly Text[];
}

const meanOf = (values: readonly number[]): number | null =>
  values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

/** The measure of a variant over all seeds: as given, else the mean of its seeds. Undefined where it was not measured. */
function overSeeds(measures: readonly VariantMeasure[], variant: string, figure: string): Measure | undefined {
  const own = measures.filter((measure) => measure.variant === variant && measure.figure === figure);
  const given = own.find(({ seed }) => seed === null);
  if (given !== undefined || own.length === 0) return given;
  return { value: meanOf(own.flatMap(({ value }) => (value === null ? [] : [value]))) };
}

/**
 * A section of a report: values over seeds, paired differences, values of each seed.
 * @throws RangeError for a measure or difference of a figure or variant that is not listed.
 */
export function variantsSection(table: VariantsTable): Section {
  const { title, about, figures, variants, measures, differences = [], plots = [], notes = [] } = table;
  for (const { figure, variant } of [...measures, ...differences]) {
    if (!figures.some(({ name }) => name === figure)) throw new RangeError(`the figure "${figure}" is not listed`);
    if (!variants.includes(variant)) throw new RangeError(`the variant "${variant}" is not listed`);
  }
  const seeds = [...new Set(measures.flatMap(({ seed }) => (seed === null ? [] : [seed])))].sort((a, b) => a - b);
  const cell = (measure: Measure | undefined, { unit }: FigureInfo): string =>
    measure === undefined ? '' : measureText(measure, unit);
  const figureColumns = figures.map(({ label }) => ({ label, align: 'right' as const }));
  const seedsOf = (variant: string): number[] =>
    seeds.filter((seed) => measures.some((measure) => measure.variant === variant && measure.seed === seed));
  const blocks: Block[] = [
    { type: 'paragraph', text: `${about}.` },
    {
      type: 'table',
      columns: [{ label: 'variant' }, { label: 'seeds', align: 'right' }, ...figureColumns],
      rows: variants.map((variant) => [
        variant,
        String(seedsOf(variant).length),
        ...figures.map((figure) => cell(overSeeds(measures, variant, figure.name), figure)),
      ]),
    },
  ];
  if (differences.length > 0) {
    const named = differences.map(({ variant, ...rest }) => ({ ...rest, subject: variant }));
    blocks.push(differencesTable(figures, named, 'Differences, paired by seed'));
  }
  const plot = intervalsPlot({
    name: `${table.id}-figures`,
    title,
    about,
    figures,
    subjects: variants.map((variant) => ({
      name: variant,
      figures: new Map(
        figures.flatMap(({ name }): [string, Measure][] => {
          const measure = overSeeds(measures, variant, name);
          return measure === undefined ? [] : [[name, measure]];
        }),
      ),
      seeds: new Map(
        figures.map(({ name }) => [
          name,
          measures.flatMap(({ variant: of, seed, figure, value }) =>
            of === variant && figure === name && seed !== null && value !== null ? [value] : [],
          ),
        ]),
      ),
    })),
  });
  if (plot !== undefined) blocks.push(plot);
  blocks.push(...plots);
  if (seeds.length > 0) {
    blocks.push({
      type: 'table',
      caption: 'Each seed',
      columns: [{ label: 'variant' }, { label: 'seed', align: 'right' }, ...figureColumns],
      rows: variants.flatMap((variant) =>
        seedsOf(variant).map((seed) => [
          variant,
          String(seed),
          ...figures.map((figure) => {
            const measure = measures.find(
              (each) => each.variant === variant && each.seed === seed && each.figure === figure.name,
            );
            return cell(measure, figure);
          }),
        ]),
      ),
    });
  }
  if (notes.length > 0) blocks.push({ type: 'notes', notes });
  return { title, blocks };
}
