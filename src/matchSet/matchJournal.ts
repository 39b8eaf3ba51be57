import { type FileHandle, open } from 'node:fs/promises';
import type { PairMatches } from './pairMatches.js';

/**
 * The matches that were found so far, a line of JSON for each pair, appended as they are found. A line that was cut off, because the
 * process was killed, is dropped when the journal is opened again: its pair is matched again.
 */
export interface MatchJournal {
  /** Whether the matches of a pair are there. */
  has(a: string, b: string): boolean;
  append(a: string, b: string, matches: PairMatches): Promise<void>;
  /** @throws RangeError for a pair that is not there */
  read(a: string, b: string): Promise<PairMatches>;
  /** Waits until all lines are on the disk. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

interface Line extends PairMatches {
  readonly a: string;
  readonly b: string;
}

const keyOf = (a: string, b: string): string => JSON.stringify([a, b]);

const READ_BYTES = 2 ** 20;
const NEWLINE = 10;

/** The lines of a file with the place of each; a last line without an end is left out. */
async function* linesOf(
  file: FileHandle,
): AsyncGenerator<{ readonly text: string; readonly start: number; readonly end: number }> {
  let rest = Buffer.alloc(0);
  let start = 0;
  for (let position = 0; ; ) {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(READ_BYTES), 0, READ_BYTES, position);
    if (bytesRead === 0) return;
    position += bytesRead;
    rest = Buffer.concat([rest, buffer.subarray(0, bytesRead)]);
    for (let at = rest.indexOf(NEWLINE); at !== -1; at = rest.indexOf(NEWLINE)) {
      yield { text: rest.toString('utf8', 0, at), start, end: start + at + 1 };
      rest = rest.subarray(at + 1);
      start += at + 1;
    }
  }
}

function parsed(text: string): Line | undefined {
  try {
    const line = JSON.parse(text) as Partial<Line>;
    return typeof line.a === 'string' && typeof line.b === 'string' && Array.isArray(line.source)
      ? (line as Line)
      : undefined;
  } catch {
    return undefined;
  }
}

/** Opens a journal, or begins one. What follows the first line that cannot be read is dropped. */
export async function openMatchJournal(path: string): Promise<MatchJournal> {
  const file = await open(path, 'a+');
  const places = new Map<string, { readonly start: number; readonly length: number }>();
  let end = 0;
  try {
    for await (const { text, start, end: after } of linesOf(file)) {
      const line = parsed(text);
      if (line === undefined) break;
      places.set(keyOf(line.a, line.b), { start, length: after - start });
      end = after;
    }
    await file.truncate(end);
  } catch (error) {
    await file.close();
    throw error;
  }
  return {
    has: (a, b) => places.has(keyOf(a, b)),
    async append(a, b, matches) {
      const line = Buffer.from(`${JSON.stringify({ a, b, ...matches } satisfies Line)}\n`);
      await file.appendFile(line);
      places.set(keyOf(a, b), { start: end, length: line.length });
      end += line.length;
    },
    async read(a, b) {
      const place = places.get(keyOf(a, b));
      if (place === undefined) throw new RangeError(`there are no matches of ${a} and ${b}`);
      const { buffer } = await file.read(Buffer.alloc(place.length), 0, place.length, place.start);
      const { a: _a, b: _b, ...matches } = JSON.parse(buffer.toString('utf8')) as Line;
      return matches;
    },
    sync: () => file.sync(),
    close: () => file.close(),
  };
}
