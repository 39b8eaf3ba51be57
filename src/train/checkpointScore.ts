import type { Score } from './checkpoint.js';
import { didYouMean } from './configKeys.js';
import { LOGGED_TERMS } from './loggedTerms.js';
import type { LogRecord } from './runLog.js';

/** The problem of a name that no run logs; undefined for one that may be logged. */
export function metricProblem(name: string): string | undefined {
  if (Object.hasOwn(LOGGED_TERMS, name)) return undefined;
  return `"${name}" is not logged; ${didYouMean(name, Object.keys(LOGGED_TERMS))}`;
}

/** Scores a checkpoint by the values logged since the previous one. */
export interface CheckpointScore {
  /** Takes the log's records in their order. */
  observe(record: LogRecord): void;
  /** Mean of the metric since the last scheduled checkpoint; none if it was not logged since. */
  score(): Score | undefined;
}

/**
 * The mean is over the steps since the last multiple of `every`, whether or not the run was stopped in between: a resumed
 * run that replays the log's records has the same scores as a run that never stopped.
 */
export function createCheckpointScore({ metric, mode }: Omit<Score, 'value'>, every: number): CheckpointScore {
  let [window, sum, count] = [0, 0, 0];
  return {
    observe(record) {
      const own = Math.floor((record.step - 1) / every);
      if (own !== window) [window, sum, count] = [own, 0, 0];
      const value = (record as Readonly<Record<string, unknown>>)[metric];
      if (typeof value === 'number') [sum, count] = [sum + value, count + 1];
    },
    score: () => (count === 0 ? undefined : { metric, mode, value: sum / count }),
  };
}
