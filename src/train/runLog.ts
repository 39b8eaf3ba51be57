import { appendFile, copyFile, type FileHandle, open } from 'node:fs/promises';
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
  /** @throws RunRecordError for example if the disk is full; the checkpoints are not touched. */
  write(record: LogRecord): Promise<void>;
}

const logPath = (run: string) => join(run, 'log.jsonl');

const lineOf = (record: LogRecord) => `${JSON.stringify(record)}\n`;

/**
 * Opens a run's log. When a run resumes at `step`, lines of later steps (taken, then lost with the process) are
 * removed, so that the file reads as if the run had never stopped.
 * @param take gets what a resumed run had logged, in order.
 * @throws RunRecordError if it cannot be read or written: it is then as it was.
 */
export async function openRunLog(run: string, step: number, take?: (record: LogRecord) => void): Promise<RunLog> {
  const path = logPath(run);
  await writeRecord(path, () => writeFileAtomically(path, step === 0 ? '' : runLogText(run, step, take)));
  return { write: (record) => writeRecord(path, () => appendFile(path, lineOf(record))) };
}

/** Copies the log to `log.until-step-N.jsonl` (or `.2.jsonl` and so on), before a run goes back to a step before N. */
export async function keepRunLog(run: string, step: number): Promise<void> {
  await copyFile(logPath(run), await freePath(join(run, `log.until-step-${step}.jsonl`)));
}

/** The record of a line; undefined for one that is damaged, such as one that a crash cut short. */
function parseLogLine(line: string): LogRecord | undefined {
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

/** Bytes of a reading, and of the longest line: no record is as long. */
const BLOCK_BYTES = 1024 * 1024;
const NEWLINE = 0x0a;

/** How far a log has been read. */
export interface LogPlace {
  /** In bytes. */
  readonly offset: number;
  /** Whether the offset is inside a line that is longer than a block. */
  readonly cut: boolean;
}

/** Some lines of a log. */
export interface LogBlock {
  /** Those of its lines that are not damaged. */
  readonly records: readonly LogRecord[];
  /** Its bytes, until the next block is read. */
  readonly bytes: Buffer;
  /** Where it ends. */
  readonly next: LogPlace;
}

/** Reads until the buffer is full or the file ends: a single reading may be shorter. @returns the bytes read */
async function fill(file: Pick<FileHandle, 'read'>, buffer: Buffer, offset: number): Promise<number> {
  for (let filled = 0; ; ) {
    const { bytesRead } = await file.read(buffer, filled, buffer.length - filled, offset + filled);
    filled += bytesRead;
    if (bytesRead === 0 || filled === buffer.length) return filled;
  }
}

/**
 * Reads a log from a place on, a block at a time: a log of a long run is larger than any string. A line that is longer than a block is
 * damaged, and is left out.
 * @param ended whether what stands after the last end of a line is a line too, not one that the run is still writing.
 */
export async function* readLogBlocks(
  file: Pick<FileHandle, 'read'>,
  { offset, cut }: LogPlace,
  { ended = false, blockBytes = BLOCK_BYTES }: { readonly ended?: boolean; readonly blockBytes?: number } = {},
): AsyncGenerator<LogBlock> {
  const buffer = Buffer.alloc(blockBytes);
  for (;;) {
    const filled = await fill(file, buffer, offset);
    const more = filled === blockBytes;
    const complete = buffer.subarray(0, filled).lastIndexOf(NEWLINE) + 1;
    const tooLong = more && complete === 0;
    const end = tooLong || (ended && !more) ? filled : complete;
    if (end === 0) return;
    const lines = tooLong ? [] : buffer.toString('utf8', 0, end).split('\n');
    const records = (cut ? lines.slice(1) : lines).flatMap((line) => (line === '' ? [] : (parseLogLine(line) ?? [])));
    offset += end;
    cut = tooLong;
    yield { records, bytes: buffer.subarray(0, end), next: { offset, cut } };
  }
}

/** The error of a log that cannot be read. @param cause of the file system */
export const unreadLog = (path: string, cause: unknown): RunRecordError =>
  new RunRecordError(`${path} cannot be read: ${fileProblem(cause)}`, { cause });

/** The records up to a step, a block at a time. @throws as readRunLog */
async function* recordBlocks(run: string, lastStep: number): AsyncGenerator<LogRecord[]> {
  const path = logPath(run);
  try {
    const file = await open(path);
    try {
      for await (const { records } of readLogBlocks(file, { offset: 0, cut: false }, { ended: true })) {
        yield records.filter(({ step }) => step <= lastStep);
      }
    } finally {
      await file.close();
    }
  } catch (cause) {
    throw unreadLog(path, cause);
  }
}

/**
 * The records of a run up to a step (all by default), without damaged lines; never all of them at once.
 * @param mayBeMissing whether there are no records where there is no log.
 * @throws RunRecordError for a log that cannot be read.
 */
export async function* readRunLog(
  run: string,
  { lastStep = Number.POSITIVE_INFINITY, mayBeMissing = false } = {},
): AsyncGenerator<LogRecord> {
  try {
    for await (const records of recordBlocks(run, lastStep)) yield* records;
  } catch (error) {
    const { code } = ((error as RunRecordError).cause ?? {}) as NodeJS.ErrnoException;
    if (!mayBeMissing || code !== 'ENOENT') throw error;
  }
}

/**
 * The lines of those records, in pieces.
 * @param take gets each record before its line is handed out.
 * @throws as readRunLog
 */
export async function* runLogText(
  run: string,
  lastStep: number,
  take: (record: LogRecord) => void = () => undefined,
): AsyncGenerator<Uint8Array> {
  for await (const records of recordBlocks(run, lastStep)) {
    for (const record of records) take(record);
    yield Buffer.from(records.map(lineOf).join(''));
  }
}
