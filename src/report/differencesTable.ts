import { differenceText, verdict } from './numbers.js';
import type { FigureInfo, Interval, Table } from './report.js';

/** A figure of one subject less that of another. */
export interface SubjectDifference {
  /** `name` of a figure. */
  readonly figure: string;
  readonly subject: string;
  readonly baseline: string;
  readonly difference: number | null;
  readonly interval: Interval;
  /** Seeds in which both were measured. */
  readonly seeds?: readonly number[];
  /** What would be drawn again in a repetition, such as seeds and items. */
  readonly over?: string;
}

/**
 * Differences by figure, with a mark whether their intervals exclude 0. Those of figures that are not listed are left out. Seeds, and
 * what the intervals are over, have columns where some difference has them.
 */
export function differencesTable(
  figures: readonly FigureInfo[],
  differences: readonly SubjectDifference[],
  caption: string,
): Table {
  const [withSeeds, withOver] = [
    differences.some(({ seeds }) => seeds !== undefined),
    differences.some(({ over }) => over !== undefined),
  ];
  const rows = figures.flatMap(({ name, label, unit, better }) =>
    differences
      .filter(({ figure }) => figure === name)
      .map(({ subject, baseline, difference, interval, seeds, over }) => {
        const mark = verdict(interval, better);
        return [
          label,
          `${subject} - ${baseline}`,
          ...(withSeeds ? [String(seeds?.length ?? '')] : []),
          differenceText({ value: difference, interval }, unit),
          ...(withOver ? [over ?? ''] : []),
          mark === 'not excluded' ? 'no' : `yes: ${mark}`,
        ];
      }),
  );
  return {
    type: 'table',
    caption,
    columns: [
      { label: 'figure' },
      { label: 'compared' },
      ...(withSeeds ? [{ label: 'seeds', align: 'right' as const }] : []),
      { label: 'difference', align: 'right' },
      ...(withOver ? [{ label: 'interval over' }] : []),
      { label: 'interval excludes 0' },
    ],
    rows,
  };
}
