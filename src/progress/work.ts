import { escapedText } from '../files/controlCharacters.js';
import { type Bar, createBar } from './bar.js';

/** Receives the progress of long work. */
export interface WorkProgress {
  /**
   * A part of the work begins, and the previous one is finished.
   * @param name such as `embedding`
   * @param total number of its units
   * @param unit name in the plural, such as `images`
   */
  begin(name: string, total: number, unit: string): void;
  /** Adds to the number of finished units. Default: 1. */
  advance(units?: number): void;
}

/** Shows the parts of the work one after the other. */
export interface ShownProgress extends WorkProgress {
  /** Prints a line of text, above the bar if there is one. Control characters in it, as in names of files, are escaped. */
  note(text: string): void;
  /** Ends the bar. Must also be called if the work fails. */
  stop(): void;
}

/** Discards progress. */
export const silentProgress: WorkProgress = { begin: () => undefined, advance: () => undefined };

/** Seconds between plain lines. */
const PLAIN_INTERVAL_S = 5;

const rateText = (rate: number): string => (rate >= 100 ? rate.toFixed(0) : rate.toPrecision(2 + Number(rate >= 10)));

/**
 * Shows a bar for each part, with rate and remaining time, if the stream is a terminal; else a line every five seconds, and none
 * for shorter parts.
 */
export function showProgress(stream: NodeJS.WriteStream = process.stderr): ShownProgress {
  let bar: Bar | undefined;
  let done = 0;
  let unit = '';
  let began = 0;

  function stop(): void {
    bar?.stop();
    bar = undefined;
  }

  return {
    begin(name, total, of) {
      stop();
      [done, unit, began] = [0, of, performance.now()];
      const shown = (value: number) => Math.round(value).toLocaleString('en');
      bar = createBar({
        stream,
        total,
        count: (value) => `${name}: ${shown(value)}/${shown(total)} ${unit}`,
        plainSeconds: PLAIN_INTERVAL_S,
        plainEnds: false,
      });
    },
    advance(units = 1) {
      done += units;
      const seconds = (performance.now() - began) / 1e3;
      bar?.update(done, seconds > 0 ? `${rateText(done / seconds)} ${unit}/s` : '');
    },
    note: (text) => (bar === undefined ? stream.write(`${escapedText(text)}\n`) : bar.note(text)),
    stop,
  };
}

/** Shows the progress of work until it ends or fails. */
export async function withProgress<T>(work: (progress: ShownProgress) => Promise<T>): Promise<T> {
  const progress = showProgress();
  try {
    return await work(progress);
  } finally {
    progress.stop();
  }
}

/** Yields the items; each counts as a finished unit when the next one is requested. */
export async function* counted<T>(
  items: Iterable<T> | AsyncIterable<T>,
  progress: WorkProgress,
  unitsOf: (item: T) => number = () => 1,
): AsyncGenerator<T> {
  for await (const item of items) {
    yield item;
    progress.advance(unitsOf(item));
  }
}
