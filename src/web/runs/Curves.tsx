import { useMemo } from 'preact/hooks';
import type { CurvesAnswer, RunState, RunsAnswer } from '../../runsView/contract.js';
import { Chart, type ReferenceLine } from '../shared/Chart.js';
import { has, joined, type Line } from './lines.js';

interface CurvesProps {
  readonly answer: RunsAnswer;
  readonly curves: ReadonlyMap<number, CurvesAnswer>;
  readonly smoothing: number;
  /** Only these panels, a chart for each term, with what the collapse monitors are compared with. */
  readonly monitors: boolean;
}

interface Drawn {
  readonly title: string;
  readonly hint: string | undefined;
  readonly zero: boolean;
  readonly lines: readonly Line[];
  readonly references: readonly ReferenceLine[];
}

/** Panels of the collapse monitors; the others are curves. */
const MONITORS = ['collapse', 'redundancy'];

/** The even spread and the alarm of a monitor, once for runs that agree. */
function referencesOf(runs: readonly RunState[], term: string): ReferenceLine[] {
  const found = runs.flatMap(({ monitors, id }) =>
    monitors.filter((monitor) => monitor.term === term).map((monitor) => ({ ...monitor, id })),
  );
  const distinct = found.filter(
    ({ even, alarm }, i) => found.findIndex((other) => other.even === even && other.alarm === alarm) === i,
  );
  const of = (id: number) => (distinct.length > 1 ? ` of ${runs.find((run) => run.id === id)!.name}` : '');
  return distinct.flatMap(({ even, alarm, id }) => [
    { label: `evenly spread${of(id)}`, value: even, place: 6 },
    ...(alarm === undefined ? [] : [{ label: `alarm${of(id)}`, value: alarm, place: 1 }]),
  ]);
}

/** Charts of all runs: a chart for each panel of one run, or for each term of several. */
function chartsOf({ answer, curves, monitors }: CurvesProps): Drawn[] {
  const { runs, panels, terms } = answer;
  const known = runs.flatMap((run) => {
    const found = curves.get(run.id);
    return found ? [{ run, curves: found }] : [];
  });
  const lineOf = (each: (typeof known)[number], term: string, label: string, place: number): Line => ({
    ...{ label, place, term },
    curves: each.curves,
  });
  return panels
    .filter(({ name }) => MONITORS.includes(name) === monitors)
    .flatMap(({ name, title, zero }): Drawn[] => {
      const own = terms.filter(
        ({ panel, name: term }) => panel === name && known.some((each) => has(each.curves, term)),
      );
      if (own.length === 0) return [];
      if (runs.length === 1 && !monitors) {
        const lines = own.map(({ name: term }, i) => lineOf(known[0]!, term, term, i));
        return [{ title, hint: undefined, zero, lines, references: [] }];
      }
      return own.map(({ name: term, what }) => ({
        title: term,
        hint: what,
        zero,
        lines: known
          .filter((each) => has(each.curves, term))
          .map((each) => lineOf(each, term, each.run.name, each.run.id)),
        references: monitors ? referencesOf(runs, term) : [],
      }));
    });
}

export function Curves(props: CurvesProps) {
  const { answer, curves, smoothing, monitors } = props;
  const charts = useMemo(
    () => chartsOf(props).map((chart) => ({ ...chart, ...joined(chart.lines, smoothing) })),
    [answer, curves, smoothing, monitors],
  );
  if (charts.length === 0) return <p class="empty">No step has been logged yet.</p>;
  return (
    <div class="charts">
      {charts.map(({ title, hint, zero, x, series, references }) => (
        <Chart key={title} {...{ title, hint, zero, x, series, references }} xLabel="step" sync="runs" />
      ))}
    </div>
  );
}
