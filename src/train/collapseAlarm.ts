import type { StepRecord } from './runLog.js';

/** A run whose vectors have become alike for all photographs (method: collapse monitors). */
export interface CollapseAlarm {
  /** Takes the records of all steps in order; a warning once, when the threshold has been undercut for long enough. */
  observe(record: StepRecord): string | undefined;
}

export interface CollapseAlarmOptions {
  /** Share of the spread of evenly distributed vectors, which have a std of 1 / sqrt(channels); 0 is never undercut. */
  readonly threshold: number;
  /** Steps in a row that make an episode, and that end it. */
  readonly steps: number;
  /** Channels of the vectors by the name of their monitor. The first monitor that a record holds is watched. */
  readonly channels: Readonly<Record<string, number>>;
  /** What to change, for the warning. */
  readonly hint: string;
}

export function createCollapseAlarm({ threshold, steps, channels, hint }: CollapseAlarmOptions): CollapseAlarm {
  let [under, over, warned] = [0, 0, false];
  return {
    observe(record) {
      const monitor = Object.keys(channels).find((name) => record[name] !== undefined);
      if (monitor === undefined) return undefined;
      const spread = record[monitor]! * Math.sqrt(channels[monitor]!);
      [under, over] = spread < threshold ? [under + 1, 0] : [0, over + 1];
      if (over >= steps) warned = false;
      if (under < steps || warned) return undefined;
      warned = true;
      return (
        `COLLAPSE: ${monitor} is ${record[monitor]!.toPrecision(2)}, ${spread.toPrecision(2)} of what evenly spread ` +
        `vectors have, and under ${threshold} of it for ${under} steps: the network gives nearly the same vector to all ` +
        `photographs. ${hint}`
      );
    },
  };
}
