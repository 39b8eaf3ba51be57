import { appendFile, copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import writeFileAtomic from 'write-file-atomic';
import { freePath } from '../files/freePath.js';
import type { Term } from './loggedTerms.js';

/** One line of log.jsonl: the results and the speed of a step. */
export interface StepRecord {
  /** Steps taken, this one included. */
  readonly step: number;
  readonly epoch: number;
  readonly lr: number;
  readonly images_per_s: number;
  /** Share of the step's time spent waiting for photographs. */
  readonly wait_share: number;
  /** Loss terms, monitors and accuracies by name (loggedTerms.ts). */
  readonly [term: string]: number;
}

/** Prefix of the names of images that a probe skipped. */
export const PROBED = 'probe: ';

/** A photograph that was skipped, and why. */
export interface SkipRecord {
  readonly step: number;
  readonly skipped: string;
  readonly reason: string;
}

/** What a probe measured, such as knn_top1. */
export type ProbeRecord = Readonly<Partial<Record<Term, number>>> & {
  /** Steps taken when it was measured. */
  readonly step: number;
};

/** A warning about the run. */
export interface AlarmRecord {
  readonly step: number;
  readonly alarm: 'collapse';
  readonly message: string;
}

export type LogRecord = StepRecord | SkipRecord | ProbeRecord | AlarmRecord;

/** The log cannot be written. */
class RunLogError extends Error {
  override readonly name = 'RunLogError';
}

export interface RunLog {
  /** What a resumed run had logged, in order. */
  readonly records: readonly LogRecord[];
  /** @throws RunLogError for example if the disk is full; the checkpoints are not touched. */
  write(record: LogRecord): Promise<void>;
}

const logPath = (run: string) => join(run, 'log.jsonl');

/**
 * Opens a run's log. When a run resumes at `step`, lines of later steps (taken, then lost with the process) are
 * removed, so that the file reads as if the run had never stopped.
 */
export async function openRunLog(run: string, step: number): Promise<RunLog> {
  const path = logPath(run);
  const records = step === 0 ? [] : await readRunLog(run, step);
  await writeFileAtomic(path, records.map((record) => `${JSON.stringify(record)}\n`).join(''));
  return {
    records,
    async write(record) {
      try {
        await appendFile(path, `${JSON.stringify(record)}\n`);
      } catch (cause) {
        throw new RunLogError(
          `${path} cannot be written: ${(cause as Error).message}; make room and go on with --resume`,
          { cause },
        );
      }
    },
  };
}

/** Copies the log to `log.until-step-N.jsonl` (or `.2.jsonl` and so on), before a run goes back to a step before N. */
export async function keepRunLog(run: string, step: number): Promise<void> {
  await copyFile(logPath(run), await freePath(join(run, `log.until-step-${step}.jsonl`)));
}

/** The records of a run up to a step (all by default); a last line cut short by a crash is left out. */
export async function readRunLog(run: string, lastStep = Number.POSITIVE_INFINITY): Promise<LogRecord[]> {
  const text = await readFile(logPath(run), 'utf8');
  const records = text.split('\n').flatMap((line) => {
    try {
      return line === '' ? [] : [JSON.parse(line) as LogRecord];
    } catch {
      return [];
    }
  });
  return records.filter(({ step }) => step <= lastStep);
}
