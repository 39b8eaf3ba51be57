import { type LogRecord, readRunLog } from '../../src/train/runLog.js';

/** All records of a short run, up to a step. */
export async function runRecords(run: string, lastStep?: number): Promise<LogRecord[]> {
  const records: LogRecord[] = [];
  for await (const record of readRunLog(run, lastStep === undefined ? {} : { lastStep })) records.push(record);
  return records;
}
