import { open } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { makeFolder } from '../../files/output.js';
import { writeRecord } from '../runRecordError.js';
import { type EventContent, encodeEvent } from './messages.js';
import { frameRecord } from './records.js';

/** A TensorBoard event file of a run. */
export interface EventFile {
  readonly path: string;
  /** Scalars by tag. @param step optimizer steps taken. */
  scalars(step: number, values: Readonly<Record<string, number>>): Promise<void>;
  /** Text, shown as Markdown. */
  text(step: number, tag: string, value: string): Promise<void>;
  close(): Promise<void>;
}

/** Maximum number of files that processes of one machine start in one second; more indicate a restart loop. */
const MAX_OF_A_SECOND = 1000;

async function create(folder: string): Promise<{ path: string; file: Awaited<ReturnType<typeof open>> }> {
  await writeRecord(folder, () => makeFolder(folder));
  const seconds = String(Math.floor(Date.now() / 1e3)).padStart(10, '0');
  const host = hostname().replace(/[^\w-]/g, '_');
  for (let i = 0; ; i++) {
    const path = join(folder, `events.out.tfevents.${seconds}.${host}.${process.pid}.${i}`);
    try {
      return { path, file: await open(path, 'ax') };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST' && i < MAX_OF_A_SECOND) continue;
      return writeRecord(path, () => Promise.reject(error));
    }
  }
}

/**
 * Starts an event file. Every process that works on a run has its own; TensorBoard reads them in the order of their
 * names and, where one starts at a step that an earlier one has too, keeps the later values.
 * @param start steps taken before; 0 for a run that begins, or begins again because it was ended before a checkpoint.
 * @throws RunRecordError, as its methods, if the file cannot be written.
 */
export async function createEventFile(folder: string, start: number): Promise<EventFile> {
  const { path, file } = await create(folder);
  const write = async (step: number, content: EventContent): Promise<void> => {
    await writeRecord(path, () => file.appendFile(frameRecord(encodeEvent(step, Date.now() / 1e3, content))));
  };
  try {
    await write(0, { fileVersion: 'brain.Event:2' });
    await write(start + 1, { start: true });
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    path,
    scalars: (step, values) => write(step, { scalars: Object.entries(values).map(([tag, value]) => ({ tag, value })) }),
    text: (step, tag, value) => write(step, { text: { tag, value } }),
    close: () => file.close(),
  };
}
