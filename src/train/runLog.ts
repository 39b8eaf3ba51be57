import { appendFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';

/** One line of log.jsonl: what a step computed and how fast. */
export interface StepRecord {
  /** Steps taken, this one included. */
  readonly step: number;
  readonly epoch: number;
  readonly lr: number;
  readonly images_per_s: number;
  /** Share of the step's time spent waiting for photographs. */
  readonly wait_share: number;
  /** Loss terms and monitors by name (inv_l, var_l, ...; docs/method.md). */
  readonly [term: string]: number;
}

/** A photograph that was left out, and why. */
export interface SkipRecord {
  readonly step: number;
  readonly skipped: string;
  readonly reason: string;
}

export interface RunLog {
  /** Names of the photographs that the log says were left out. */
  readonly skipped: ReadonlySet<string>;
  write(record: StepRecord | SkipRecord): Promise<void>;
}

const logPath = (run: string) => join(run, 'log.jsonl');

/**
 * Opens a run's log. When a run resumes at `step`, lines of later steps (taken, then lost with the process) are
 * removed, so that the file reads as if the run had never stopped.
 */
export async function openRunLog(run: string, step: number): Promise<RunLog> {
  const path = logPath(run);
  const kept = step === 0 ? [] : await readRunLog(run, step);
  await writeFileAtomic(path, kept.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return {
    skipped: new Set(kept.flatMap((record) => ('skipped' in record ? [String(record.skipped)] : []))),
    write: (record) => appendFile(path, `${JSON.stringify(record)}\n`),
  };
}

/** The records of a run up to a step (all by default); a last line cut short by a crash is left out. */
export async function readRunLog(
  run: string,
  lastStep = Number.POSITIVE_INFINITY,
): Promise<(StepRecord | SkipRecord)[]> {
  const text = await readFile(logPath(run), 'utf8');
  const records = text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as StepRecord | SkipRecord];
    } catch {
      return [];
    }
  });
  return records.filter(({ step }) => step <= lastStep);
}
