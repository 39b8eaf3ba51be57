import cliProgress from 'cli-progress';
import { onExit } from 'signal-exit';
import { escapedText } from '../files/controlCharacters.js';

// CommonJS: Node does not detect all of its named exports.
const { Format, SingleBar } = cliProgress;

/** Shows the progress of work: a bar on a terminal, plain lines elsewhere. */
export interface Bar {
  /** @param figures text that follows the remaining time */
  update(done: number, figures: string): void;
  /** Prints a line above the bar. Control characters in it, as in names of files, are escaped. */
  note(text: string): void;
  /** Ends the bar and restores the cursor of the terminal. Where the process ends before, by a signal too, that is done for it. */
  stop(): void;
}

export interface BarOptions {
  /** Output stream; a bar is shown only if it is a terminal. */
  readonly stream: NodeJS.WriteStream;
  /** Units that were done before. Default: 0. */
  readonly start?: number;
  readonly total: number;
  /** Text of the current state, such as `step 3/10`. */
  readonly count: (done: number) => string;
  /** Plain lines: seconds between lines. */
  readonly plainSeconds: number;
  /** Plain lines: whether the first update and the last one always write a line, so that short work is not silent. */
  readonly plainEnds: boolean;
}

/** Formats seconds for people. */
function duration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [days, hours] = [Math.floor(whole / 86_400), Math.floor((whole % 86_400) / 3600)];
  const minutes = Math.floor((whole % 3600) / 60);
  if (days > 0) return `${days} d ${hours} h`;
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

/** Returns the remaining time of work that begins now, as text, by its mean speed so far. */
function remainingTime({ start = 0, total }: BarOptions): (done: number) => string {
  const began = performance.now();
  return (done) => duration(((performance.now() - began) / 1e3 / (done - start)) * (total - done));
}

function terminalBar(options: BarOptions): Bar {
  const { stream, start = 0, total, count } = options;
  const remaining = remainingTime(options);
  const bar = new SingleBar({
    format: (drawn, { progress }, { text }) => `${Format.BarFormat(progress, drawn)} ${text}`,
    stream,
    hideCursor: true,
  });
  bar.start(total, start, { text: count(start) });
  // A terminal keeps its cursor hidden, and long lines cut off, after the process.
  const off = onExit(() => bar.stop());
  return {
    update(done, figures) {
      // Before the first update the remaining time is unknown.
      const text = done > start ? `${count(done)} | ETA ${remaining(done)} | ${figures}` : count(done);
      bar.update(done, { text });
    },
    note: (text) => stream.write(`\r\u001b[K${escapedText(text)}\n`),
    stop() {
      bar.stop();
      off();
    },
  };
}

function plainLines(options: BarOptions): Bar {
  const { stream, start = 0, total, count, plainSeconds, plainEnds } = options;
  const began = performance.now();
  const remaining = remainingTime(options);
  let last = plainEnds ? Number.NEGATIVE_INFINITY : began;
  return {
    update(done, figures) {
      const now = performance.now();
      const due = now - last >= plainSeconds * 1e3 || (plainEnds && done >= total);
      if (!due || done <= start) return;
      last = now;
      stream.write(`${count(done)} | ${remaining(done)} left | ${figures}\n`);
    },
    note: (text) => stream.write(`${escapedText(text)}\n`),
    stop: () => undefined,
  };
}

/** Starts a bar, or plain lines if the stream is not a terminal. */
export function createBar(options: BarOptions): Bar {
  return options.stream.isTTY ? terminalBar(options) : plainLines(options);
}
