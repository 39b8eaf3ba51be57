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
}

/** Differences by figure, with a mark whether their intervals exclude 0. Those of figures that are not listed are left out. */
export function differencesTable(
  figures: readonly FigureInfo[],
  differences: readonly SubjectDifference[],
  caption: string,
): Table {
  const rows = figures.flatMap(({ name, label, unit, better }) =>
    differences
      .filter(({ figure }) => figure === name)
      .map(({ subject, baseline, difference, interval }) => {
        const mark = verdict(interval, better);
        return [
          label,
          `${subject} - ${baseline}`,
          differenceText({ value: difference, interval }, unit),
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
      { label: 'difference', align: 'right' },
      { label: 'interval excludes 0' },
    ],
    rows,
  };
}
