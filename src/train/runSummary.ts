import { isRunFigure } from './loggedTerms.js';
import { type LogRecord, PROBED, type ProbeRecord, type StepRecord } from './runLog.js';

/** What a run did, for the manifest of its model. */
export interface RunSummary {
  readonly steps: number;
  readonly epochs: number;
  /** Mean of each logged term over the last steps, and the newest value of what probes measured. */
  readonly lastTerms: Readonly<Record<string, number>>;
  readonly skippedPhotographs: number;
}

/** Terms are averaged over this many last steps, since single steps are noisy. */
const LAST_STEPS = 50;

/** The steps of a log, in order. */
function stepRecords(log: readonly LogRecord[]): StepRecord[] {
  return log.filter((record): record is StepRecord => 'lr' in record);
}

/**
 * The last value of everything that a log has: the mean over its last steps, and the newest value of what probes measured. Figures of
 * the run's progress, such as its learning rate, are among them.
 */
export function lastValues(log: readonly LogRecord[]): Record<string, number> {
  const last = stepRecords(log).slice(-LAST_STEPS);
  // A term may be missing in single steps: the norm of gradients that overflowed.
  const names = new Set(last.flatMap(Object.keys).filter((name) => name !== 'step'));
  const values = Object.fromEntries(
    [...names].map((name) => {
      const logged = last.flatMap((record) => record[name] ?? []);
      const mean = logged.reduce((sum, value) => sum + value, 0) / logged.length;
      return [name, Number(mean.toPrecision(5))];
    }),
  );
  const probed = log.filter((record) => !('lr' in record || 'skipped' in record || 'alarm' in record));
  for (const { step: _, ...terms } of probed as ProbeRecord[]) {
    for (const [name, value] of Object.entries(terms)) values[name] = Number(value.toPrecision(5));
  }
  return values;
}

/** Summarises a log whose last step is `step`. */
export function summariseRun(log: readonly LogRecord[], step: number): RunSummary {
  const records = stepRecords(log);
  const lastTerms = Object.fromEntries(Object.entries(lastValues(log)).filter(([name]) => !isRunFigure(name)));
  return {
    steps: step,
    epochs: (records.at(-1)?.epoch ?? -1) + 1,
    lastTerms,
    skippedPhotographs: log.filter((record) => 'skipped' in record && !String(record.skipped).startsWith(PROBED))
      .length,
  };
}
