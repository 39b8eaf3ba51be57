import { collapseAlarms } from '../train/collapseAlarm.js';
import type { TrainConfig } from '../train/config.js';
import { readRunLog, type StepRecord } from '../train/runLog.js';

/** The warning of a run that had collapsed at its end (docs/training.md, The collapse alarm); undefined for any other. */
export async function collapseOf(run: string, config: TrainConfig): Promise<string | undefined> {
  const records = (await readRunLog(run)).filter((record): record is StepRecord => 'lr' in record);
  for (const alarm of collapseAlarms(config)) {
    let warning: string | undefined;
    for (const record of records) warning = alarm.observe(record) ?? warning;
    if (alarm.collapsed && warning !== undefined) return warning;
  }
  return undefined;
}
