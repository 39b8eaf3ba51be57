import { stringify } from 'yaml';
import { EXCUSED, FAULTS } from './faults.js';
import { LONG_CALLS } from './longCalls.js';

/**
 * Service level objectives as Prometheus rules: recording rules of the share of bad calls in several windows, and alerts on the speed at
 * which the error budget is used up (multiwindow, multi-burn-rate alerts; Google's SRE workbook, chapter 5).
 */

/** Seconds; a bucket of vicregl_request_duration_seconds. */
const LATENCY = 1;

const windows = ['5m', '30m', '1h', '2h', '6h', '1d', '3d'] as const;
type Window = (typeof windows)[number];

interface Objective {
  readonly name: string;
  /** Name of the recorded series, before the window. */
  readonly series: string;
  /** Allowed share of bad calls. */
  readonly budget: number;
  /** Share of bad calls in a window. */
  readonly ratio: (window: Window) => string;
  readonly summary: string;
}

const calls = (window: Window): string => `sum by (job) (rate(vicregl_requests_total[${window}]))`;
/** Zero while there is none: a counter without events has no series. */
const orZero = (expression: string, window: Window): string => `(${expression} or ${calls(window)} * 0)`;

const objectives: readonly Objective[] = [
  {
    name: 'Availability',
    series: 'job:vicregl_availability_errors:ratio_rate',
    budget: 0.001,
    ratio: (window) => {
      const faults = `sum by (job) (rate(vicregl_requests_total{code=~"${FAULTS}"}[${window}]))`;
      const rejected = (reasons: string): string =>
        orZero(`sum by (job) (rate(vicregl_requests_rejected_total{reason=~"${reasons}"}[${window}]))`, window);
      // Overload has other codes than the faults.
      return `(${orZero(faults, window)} - ${rejected(EXCUSED)} + ${rejected('OVERLOADED')}) / (${calls(window)} > 0)`;
    },
    summary: 'of the calls to {{ $labels.job }} fail or are rejected for overload',
  },
  {
    name: 'Latency',
    series: 'job:vicregl_latency_errors:ratio_rate',
    budget: 0.01,
    ratio: (window) => {
      // OpenMetrics writes the bucket as 1.0.
      const short = `method!~"${LONG_CALLS}"`;
      const [fast, all] = [`bucket{${short}, le=~"${LATENCY}([.]0)?"}`, `count{${short}}`].map(
        (name) => `sum by (job) (rate(vicregl_request_duration_seconds_${name}[${window}]))`,
      );
      return `1 - ${fast} / (${all} > 0)`;
    },
    summary: `of the calls to {{ $labels.job }}, without batches and streams, take longer than ${LATENCY} s`,
  },
];

/** An alert fires where the budget is used up `burn` times as fast as allowed, over a long window and still over a short one. */
const burns: readonly {
  readonly severity: 'page' | 'ticket';
  readonly pairs: readonly { readonly long: Window; readonly short: Window; readonly burn: number }[];
}[] = [
  {
    severity: 'page',
    pairs: [
      { long: '1h', short: '5m', burn: 14.4 },
      { long: '6h', short: '30m', burn: 6 },
    ],
  },
  {
    severity: 'ticket',
    pairs: [
      { long: '1d', short: '2h', burn: 3 },
      { long: '3d', short: '6h', burn: 1 },
    ],
  },
];

const rounded = (value: number): number => Number(value.toPrecision(6));

/** The rules as Prometheus loads them. */
export function sloRules() {
  return {
    groups: objectives.map(({ name, series, budget, ratio, summary }) => ({
      name: `vicregl-slo-${name.toLowerCase()}`,
      rules: [
        ...windows.map((window) => ({ record: `${series}${window}`, expr: ratio(window) })),
        ...burns.map(({ severity, pairs }) => ({
          alert: `Vicregl${name}Budget${severity === 'page' ? 'BurnsFast' : 'Burns'}`,
          expr: pairs
            .map(({ long, short, burn }) => {
              const over = rounded(burn * budget);
              return `(${series}${long} > ${over} and ${series}${short} > ${over})`;
            })
            .join(' or '),
          labels: { severity },
          annotations: {
            summary: `{{ $value | humanizePercentage }} ${summary}; the objective allows ${rounded(budget * 100)}%`,
          },
        })),
      ],
    })),
  };
}

/** The text of deploy/slo.yml. */
export const sloText = (): string =>
  `# Service level objectives per job, over 30 days: 99.9 % of the calls neither fail by the service's fault nor are rejected for overload, and
# 99 % of those that are no batches or streams are answered within ${LATENCY} s. Made by scripts/deploy/writeDeploy.ts: change the objectives in scripts/deploy/slo.ts.
# Test them with: promtool test rules deploy/slo.test.yml
${stringify(sloRules(), { lineWidth: 0 })}`;
