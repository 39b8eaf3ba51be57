import { seriesStyle } from '../../plot/theme.js';
import type { Plot, Unit } from '../report.js';
import { frame, PANEL_WIDTH, type PlotTitle, plotLabel, plotted } from './frame.js';

const PANEL_HEIGHT = 120;
/** The axis ends at a tick, so that titles of panels in a row are at one height. */
const Y_TICKS = 4;
/** More panels than these stand two in a row. */
const ONE_COLUMN = 2;
/** An odd number, so that one bin is centred on 0. */
const BINS = 31;

/** Differences of one figure between two subjects, item by item. */
export interface PlottedDifferences {
  readonly label: string;
  readonly unit: Unit;
  readonly subject: string;
  readonly baseline: string;
  readonly differences: readonly number[];
}

export interface DifferencesPlot extends PlotTitle {
  readonly name: string;
  readonly comparisons: readonly PlottedDifferences[];
}

interface Bin {
  readonly from: number;
  readonly to: number;
  readonly count: number;
}

/**
 * Counts of values in equal bins that are symmetric about 0. Values that are all whole numbers of a small range, such as
 * -1, 0 and 1, have one bin each.
 */
export function histogram(values: readonly number[]): Bin[] {
  const largest = values.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const isWhole = values.every(Number.isInteger) && largest <= (BINS - 1) / 2;
  const side = isWhole ? Math.max(1, largest) : (BINS - 1) / 2;
  const width = isWhole ? 1 : largest / side;
  const counts = new Array<number>(2 * side + 1).fill(0);
  for (const value of values) {
    const bin = side + Math.round(value / width);
    counts[bin] = counts[bin]! + 1;
  }
  return counts.map((count, i) => ({ from: (i - side - 0.5) * width, to: (i - side + 0.5) * width, count }));
}

const UNITS: Readonly<Record<Unit, string>> = { share: 'percentage points', pixels: 'pixels', number: '' };

/** Histograms of the differences of all items, a panel per figure and baseline. */
export function differencesPlot({ name, title, about, comparisons }: DifferencesPlot): Plot {
  const { colour } = seriesStyle(0);
  const columns = comparisons.length > ONE_COLUMN ? 2 : 1;
  return {
    type: 'plot',
    name,
    alt: title,
    spec: {
      ...frame({ title, about }),
      spacing: 26,
      columns,
      concat: comparisons.map(({ label, unit, subject, baseline, differences }) => {
        const unitText = UNITS[unit] === '' ? '' : `, ${UNITS[unit]}`;
        const bins = histogram(differences);
        // Bins of one whole number each are labelled by it.
        const whole = bins[0]!.to - bins[0]!.from === 1 ? bins.map(({ from }) => from + 0.5) : undefined;
        return {
          title: {
            text: [plotLabel(label), `${plotLabel(subject)} - ${plotLabel(baseline)}`],
            fontSize: 13,
            fontWeight: 'normal' as const,
            offset: 8,
          },
          width: (PANEL_WIDTH + 100) / (columns === 1 ? 1 : 1.5),
          height: PANEL_HEIGHT,
          layer: [
            {
              data: {
                values: bins.map(({ from, to, count }) => ({
                  from: plotted(from, unit),
                  to: plotted(to, unit),
                  count,
                })),
              },
              mark: { type: 'bar' as const, color: colour, opacity: 0.75, stroke: 'white', strokeWidth: 0.5 },
              encoding: {
                x: {
                  field: 'from',
                  type: 'quantitative' as const,
                  // Binned already: else bars with two ends would be drawn as horizontal ones.
                  bin: 'binned' as const,
                  title: `difference of an item${unitText}`,
                  scale: { nice: false },
                  axis: { grid: false, ...(whole !== undefined && { values: whole.map((at) => plotted(at, unit)) }) },
                },
                x2: { field: 'to' },
                y: {
                  field: 'count',
                  type: 'quantitative' as const,
                  title: 'number of items',
                  scale: { nice: Y_TICKS },
                  axis: { tickCount: Y_TICKS },
                },
              },
            },
            {
              data: { values: [{ at: 0 }] },
              mark: { type: 'rule' as const, color: '#333333', strokeDash: [4, 3] },
              encoding: { x: { field: 'at', type: 'quantitative' as const } },
            },
          ],
        };
      }),
    },
  };
}
