import { open, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { createCurvePoints } from '../train/curvePoints.js';
import type { LogRecord } from '../train/runLog.js';
import type { CurvesAnswer } from './contract.js';

/** What a run has logged so far. */
export interface Followed {
  /** Grows with every record, and when the log begins again. */
  readonly revision: number;
  readonly steps: number;
  /** Epochs begun. */
  readonly epoch: number;
  readonly skipped: number;
  readonly alarms: readonly { readonly step: number; readonly message: string }[];
  /** Median of the last steps; undefined before the first one. */
  readonly imagesPerSecond: number | undefined;
}

/** Follows log.jsonl while a run writes it: each reading takes only what is new. */
export interface LogFollower {
  /** Reads what was added since the last call. */
  read(): Promise<Followed>;
  curves(): CurvesAnswer;
}

/** Steps of the median speed. */
const LAST_STEPS = 50;
const BLOCK = 1024 * 1024;
const NEWLINE = 0x0a;

function median(values: readonly number[]): number | undefined {
  return [...values].sort((a, b) => a - b)[values.length >> 1];
}

/** Digits that a screen can show. */
const rounded = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(5));

/** The state of a log that was read up to a byte. */
function createState() {
  return {
    curve: createCurvePoints(),
    steps: 0,
    epoch: 0,
    skipped: 0,
    alarms: [] as { step: number; message: string }[],
    rates: [] as number[],
  };
}

/** A damaged line is left out, as `readRunLog` does. */
function parseLine(line: string): LogRecord | undefined {
  try {
    const record = JSON.parse(line) as LogRecord | null;
    return typeof record === 'object' && typeof record?.step === 'number' ? record : undefined;
  } catch {
    return undefined;
  }
}

/** @param run the folder; its log may not be there yet */
export function followLog(run: string): LogFollower {
  const path = join(run, 'log.jsonl');
  let state = createState();
  /** The file that was read, and the bytes of its complete lines. */
  let [inode, offset, revision] = [0, 0, 0];
  let reading: Promise<unknown> = Promise.resolve();

  const take = (record: LogRecord): void => {
    revision += 1;
    state.curve.add(record);
    state.steps = record.step;
    if ('skipped' in record) state.skipped += 1;
    if ('alarm' in record) state.alarms.push({ step: record.step, message: String(record.message) });
    if (!('lr' in record)) return;
    const { epoch = 0, images_per_s = 0 } = record as { readonly epoch?: number; readonly images_per_s?: number };
    state.epoch = epoch + 1;
    state.rates = [...state.rates.slice(1 - LAST_STEPS), images_per_s];
  };

  const readNew = async (): Promise<void> => {
    const found = await stat(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    // A resumed run writes its log anew, under another inode; a file system without inodes shows it by the length.
    if (found === undefined || found.ino !== inode || found.size < offset) {
      if (offset > 0) revision += 1;
      state = createState();
      [inode, offset] = [found?.ino ?? 0, 0];
    }
    if (found === undefined || found.size === offset) return;
    const file = await open(path);
    try {
      let length = BLOCK;
      for (;;) {
        const buffer = Buffer.alloc(length);
        const { bytesRead } = await file.read(buffer, 0, length, offset);
        const end = buffer.subarray(0, bytesRead).lastIndexOf(NEWLINE) + 1;
        // A line that is longer than the block, or one that the run is still writing.
        if (end === 0) {
          if (bytesRead < length) return;
          length *= 2;
          continue;
        }
        for (const line of buffer.toString('utf8', 0, end).split('\n')) {
          const record = line === '' ? undefined : parseLine(line);
          if (record) take(record);
        }
        offset += end;
      }
    } finally {
      await file.close();
    }
  };

  return {
    async read() {
      const turn = reading.then(readNew);
      reading = turn.catch(() => {});
      await turn;
      const { steps, epoch, skipped, alarms, rates } = state;
      return { revision, steps, epoch, skipped, alarms, imagesPerSecond: median(rates) };
    },
    curves() {
      const points = state.curve.points();
      const names = [...new Set(points.flatMap(({ means }) => Object.keys(means)))];
      return {
        revision,
        steps: points.map(({ step }) => step),
        terms: Object.fromEntries(names.map((name) => [name, points.map(({ means }) => rounded(means[name]))])),
      };
    },
  };
}
