import { collapseAlarms } from '../train/collapseAlarm.js';
import type { TrainConfig } from '../train/config.js';
import { readRunLog, type StepRecord } from '../train/runLog.js';

/** The warning of a run that had collapsed at its end (docs/training.md, The collapse alarm); undefined for any other. */
export async function collapseOf(run: string, config: TrainConfig): Promise<string | undefined> {
  const alarms = collapseAlarms(config).map((alarm) => ({ alarm, warning: undefined as string | undefined }));
  for await (const record of readRunLog(run)) {
    if (!('lr' in record)) continue;
    for (const one of alarms) one.warning = one.alarm.observe(record as StepRecord) ?? one.warning;
  }
  return alarms.find(({ alarm, warning }) => alarm.collapsed && warning !== undefined)?.warning;
}
