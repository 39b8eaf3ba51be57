import type { Score } from './checkpoint.js';
import { didYouMean } from './configKeys.js';
import { type LoggingKeys, reasonsNotLogged } from './expectedTerms.js';
import { type Direction, LOGGED_TERMS, type Term } from './loggedTerms.js';
import type { LogRecord } from './runLog.js';

/** Terms that can select a checkpoint. */
const METRICS = (Object.keys(LOGGED_TERMS) as Term[]).filter((term) => LOGGED_TERMS[term].better !== undefined);

/** Why a run with this configuration cannot select its best checkpoint by a name, with those by which it can; undefined if it can. */
export function metricProblem(name: string, config: LoggingKeys): string | undefined {
  if (!Object.hasOwn(LOGGED_TERMS, name)) return `"${name}" is not logged; ${didYouMean(name, METRICS)}`;
  const reasons = reasonsNotLogged(config);
  const use = `use one of ${METRICS.filter((term) => reasons[term] === undefined).join(', ')}`;
  if (betterOf(name) === undefined) return `"${name}" says nothing about the quality of a checkpoint; ${use}`;
  const reason = reasons[name as Term];
  return reason === undefined ? undefined : `"${name}" is not logged by this run: ${reason}; change that, or ${use}`;
}

/** Which values of a metric are better; undefined for a name that says nothing about quality, or that no run logs. */
export function betterOf(metric: string): Direction | undefined {
  return (LOGGED_TERMS as Readonly<Partial<Record<string, { readonly better: Direction | undefined }>>>)[metric]
    ?.better;
}

/** A warning for a mode that keeps the worst checkpoint as the best one: runs of older versions have `min` for all metrics. */
export function modeWarning({ metric, mode }: Omit<Score, 'value'>): string | undefined {
  const better = betterOf(metric);
  if (better === undefined || better === mode) return undefined;
  return (
    `checkpoints.best.mode is ${mode}, and the ${better === 'max' ? 'largest' : 'smallest'} ${metric} is the best: ` +
    `the worst checkpoint is kept as the best one. Usual: --set checkpoints.best.mode=${better}`
  );
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
