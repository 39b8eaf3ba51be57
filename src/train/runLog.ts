import { appendFile, copyFile, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { writeFileAtomically } from '../files/atomicFile.js';
import { fileProblem } from '../files/fileProblem.js';
import { freePath } from '../files/freePath.js';
import type { Term } from './loggedTerms.js';
import { RunRecordError, writeRecord } from './runRecordError.js';

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

export interface RunLog {
  /** What a resumed run had logged, in order. */
  readonly records: readonly LogRecord[];
  /** @throws RunRecordError for example if the disk is full; the checkpoints are not touched. */
  write(record: LogRecord): Promise<void>;
}

const logPath = (run: string) => join(run, 'log.jsonl');

/**
 * Opens a run's log. When a run resumes at `step`, lines of later steps (taken, then lost with the process) are
 * removed, so that the file reads as if the run had never stopped.
 * @throws RunRecordError if it cannot be written: it is then as it was.
 */
export async function openRunLog(run: string, step: number): Promise<RunLog> {
  const path = logPath(run);
  const records = step === 0 ? [] : await readRunLog(run, step);
  const lines = records.map((record) => `${JSON.stringify(record)}\n`);
  await writeRecord(path, () => writeFileAtomically(path, lines.join('')));
  return {
    records,
    write: (record) => writeRecord(path, () => appendFile(path, `${JSON.stringify(record)}\n`)),
  };
}

/** Copies the log to `log.until-step-N.jsonl` (or `.2.jsonl` and so on), before a run goes back to a step before N. */
export async function keepRunLog(run: string, step: number): Promise<void> {
  await copyFile(logPath(run), await freePath(join(run, `log.until-step-${step}.jsonl`)));
}

/** The record of a line; undefined for one that is damaged, such as one that a crash cut short. */
export function parseLogLine(line: string): LogRecord | undefined {
  let record: unknown;
  try {
    record = JSON.parse(line);
  } catch {
    return undefined;
  }
  if (typeof record !== 'object' || record === null) return undefined;
  const finite = Object.values(record).every((value) => typeof value !== 'number' || Number.isFinite(value));
  return finite && Number.isSafeInteger((record as LogRecord).step) ? (record as LogRecord) : undefined;
}

/**
 * The records of a run up to a step (all by default), without damaged lines.
 * @throws the file system's ENOENT where there is no log; RunRecordError for one that cannot be read.
 */
export async function readRunLog(run: string, lastStep = Number.POSITIVE_INFINITY): Promise<LogRecord[]> {
  const path = logPath(run);
  const text = await readFile(path, 'utf8').catch((cause: NodeJS.ErrnoException) => {
    if (cause.code === 'ENOENT') throw cause;
    throw new RunRecordError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });
  });
  return text.split('\n').flatMap((line) => {
    const record = line === '' ? undefined : parseLogLine(line);
    return record !== undefined && record.step <= lastStep ? [record] : [];
  });
}
