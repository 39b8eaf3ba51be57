import { escapedText } from '../files/controlCharacters.js';
import type { ShownProgress } from './work.js';

/** Seconds between lines. */
const INTERVAL_S = 5;

/**
 * Writes progress as JSON lines, for logs that programs read: every five seconds, and at the end of each part, an object with
 * `event` "progress", `part`, `done`, `total`, `unit`, `perSecond` and `secondsLeft`. Notes have `event` "note" and `text`.
 */
export function jsonProgress(stream: Pick<NodeJS.WriteStream, 'write'> = process.stderr): ShownProgress {
  let part:
    | { readonly name: string; readonly total: number; readonly unit: string; readonly began: number }
    | undefined;
  let done = 0;
  let last = 0;
  const line = (value: object) => stream.write(`${escapedText(JSON.stringify(value))}\n`);

  const report = (): void => {
    if (part === undefined) return;
    const { name, total, unit, began } = part;
    last = performance.now();
    const seconds = (last - began) / 1e3;
    const perSecond = seconds > 0 ? done / seconds : 0;
    const left = perSecond > 0 ? Math.round((total - done) / perSecond) : undefined;
    const rate = Number(perSecond.toPrecision(4));
    line({
      event: 'progress',
      part: name,
      done,
      total,
      unit,
      perSecond: rate,
      ...(left !== undefined && { secondsLeft: left }),
    });
  };
  return {
    begin(name, total, unit) {
      part = { name, total, unit, began: performance.now() };
      [done, last] = [0, performance.now()];
    },
    advance(units = 1) {
      done += units;
      if (part !== undefined && (done >= part.total || performance.now() - last >= INTERVAL_S * 1e3)) report();
    },
    note: (text) => line({ event: 'note', text }),
    stop: () => {
      part = undefined;
    },
  };
}
