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

/** Summarises a log whose records are added in their order, of which it keeps the last steps. */
export interface LogSummary {
  add(record: LogRecord): void;
  /**
   * The last value of everything that the log has: the mean over its last steps, and the newest value of what probes measured. Figures
   * of the run's progress, such as its learning rate, are among them.
   */
  last(): Record<string, number>;
  /** @param step the last one; by default that of the last record */
  summary(step?: number): RunSummary;
}

export function createLogSummary(): LogSummary {
  let lastStep = 0;
  let skippedPhotographs = 0;
  let steps: StepRecord[] = [];
  const probed = new Map<string, number>();

  const last = (): Record<string, number> => {
    // A term may be missing in single steps: the norm of gradients that overflowed.
    const names = new Set(steps.flatMap(Object.keys).filter((name) => name !== 'step'));
    const means = [...names].map((name): [string, number] => {
      const logged = steps.flatMap((record) => record[name] ?? []);
      return [name, logged.reduce((sum, value) => sum + value, 0) / logged.length];
    });
    return Object.fromEntries([...means, ...probed].map(([name, value]) => [name, Number(value.toPrecision(5))]));
  };

  return {
    add(record) {
      lastStep = record.step;
      if ('lr' in record) steps = [...steps.slice(1 - LAST_STEPS), record as StepRecord];
      else if ('skipped' in record) skippedPhotographs += String(record.skipped).startsWith(PROBED) ? 0 : 1;
      else if (!('alarm' in record)) {
        const { step: _, ...terms } = record as ProbeRecord;
        for (const [name, value] of Object.entries(terms)) probed.set(name, value);
      }
    },
    last,
    summary: (step = lastStep) => ({
      steps: step,
      epochs: (steps.at(-1)?.epoch ?? -1) + 1,
      lastTerms: Object.fromEntries(Object.entries(last()).filter(([name]) => !isRunFigure(name))),
      skippedPhotographs,
    }),
  };
}
