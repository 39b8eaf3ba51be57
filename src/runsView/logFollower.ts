import { type FileHandle, open } from 'node:fs/promises';
import { join } from 'node:path';
import { median } from '../tensor/median.js';
import { createCurvePoints } from '../train/curvePoints.js';
import { type LogPlace, type LogRecord, readLogBlocks, unreadLog } from '../train/runLog.js';
import type { CurvesAnswer } from './contract.js';

/** What a run has logged so far. */
export interface Followed {
  /** Grows with every record, and when the log begins again. */
  readonly revision: number;
  readonly steps: number;
  /** Epochs begun. */
  readonly epoch: number;
  readonly skipped: number;
  /** The last ones, and how many there were before them. */
  readonly alarms: readonly { readonly step: number; readonly message: string }[];
  readonly earlierAlarms: number;
  /** Median of the last steps; undefined before the first one. */
  readonly imagesPerSecond: number | undefined;
  /** How often a log has begun: it grows when a resumed run, or another one, writes it anew. */
  readonly beginnings: number;
}

/** Follows log.jsonl while a run writes it: each reading takes only what is new. */
export interface LogFollower {
  /** Reads what was added since the last call. @throws RunRecordError for a log that cannot be read */
  read(): Promise<Followed>;
  /** What was read so far. */
  soFar(): Followed;
  /** Of what was read so far. */
  curves(): CurvesAnswer;
}

/** Steps of the median speed. */
const LAST_STEPS = 50;
/** Alarms that are kept. */
const LAST_ALARMS = 20;
/** Bytes before the end of what was read that tell a log from another one. */
const TAIL = 4096;

/** Digits that a screen can show. */
const rounded = (value: number | undefined): number | null =>
  value === undefined || !Number.isFinite(value) ? null : Number(value.toPrecision(5));

/** The state of a log that was read up to a byte. */
function createState() {
  return {
    place: { offset: 0, cut: false } as LogPlace,
    /** The bytes before that place. */
    tail: Buffer.alloc(0),
    curve: createCurvePoints(),
    steps: 0,
    epoch: 0,
    skipped: 0,
    alarms: [] as { step: number; message: string }[],
    earlierAlarms: 0,
    rates: [] as number[],
  };
}

/** @param run the folder; its log may not be there yet */
export function followLog(run: string): LogFollower {
  const path = join(run, 'log.jsonl');
  let state = createState();
  /** `inode` is that of the file that was read. */
  let [inode, revision, beginnings] = [0, 0, 0];
  let reading: Promise<unknown> = Promise.resolve();

  const take = (record: LogRecord): void => {
    revision += 1;
    state.curve.add(record);
    state.steps = record.step;
    if ('skipped' in record) state.skipped += 1;
    if ('alarm' in record) {
      state.alarms.push({ step: record.step, message: String(record.message) });
      if (state.alarms.length > LAST_ALARMS) {
        state.alarms.shift();
        state.earlierAlarms += 1;
      }
    }
    if (!('lr' in record)) return;
    const { epoch = 0, images_per_s = 0 } = record as { readonly epoch?: number; readonly images_per_s?: number };
    state.epoch = epoch + 1;
    state.rates = [...state.rates.slice(1 - LAST_STEPS), images_per_s];
  };

  const beginAnew = (ino: number): void => {
    if (state.place.offset > 0) revision += 1;
    beginnings += 1;
    inode = ino;
    state = createState();
  };

  /**
   * Whether the file is the one that was read, or begins with all of it. A resumed run writes its log anew, mostly under another inode;
   * but a file system hands a freed inode out again, and then the bytes differ.
   */
  const goesOn = async (file: FileHandle, ino: number): Promise<boolean> => {
    const { place, tail } = state;
    if (ino !== inode) return false;
    const found = Buffer.alloc(tail.length);
    const { bytesRead } = await file.read(found, 0, tail.length, place.offset - tail.length);
    return bytesRead === tail.length && found.equals(tail);
  };

  /** Reads up to the last complete line. */
  const readLines = async (file: FileHandle): Promise<void> => {
    for await (const { records, bytes, next } of readLogBlocks(file, state.place)) {
      for (const record of records) take(record);
      state.tail = Buffer.from(bytes.subarray(-TAIL));
      state.place = next;
    }
  };

  const readNew = async (): Promise<void> => {
    const file = await open(path).catch((error: NodeJS.ErrnoException) => {
      if (error.code === 'ENOENT') return undefined;
      throw error;
    });
    if (file === undefined) {
      // Once: a run that has not begun to log is not another one at each reading.
      if (inode !== 0) beginAnew(0);
      return;
    }
    try {
      const { ino } = await file.stat();
      if (!(await goesOn(file, ino))) beginAnew(ino);
      await readLines(file);
    } finally {
      await file.close();
    }
  };

  const soFar = (): Followed => {
    const { steps, epoch, skipped, alarms, earlierAlarms, rates } = state;
    const imagesPerSecond = rates.length === 0 ? undefined : median(rates);
    return { revision, beginnings, steps, epoch, skipped, alarms, earlierAlarms, imagesPerSecond };
  };

  return {
    async read() {
      const turn = reading.then(readNew).catch((cause) => {
        throw unreadLog(path, cause);
      });
      reading = turn.catch(() => {});
      await turn;
      return soFar();
    },
    soFar,
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
