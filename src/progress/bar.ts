import cliProgress from 'cli-progress';

// CommonJS: Node does not detect all of its named exports.
const { Format, SingleBar } = cliProgress;

/** Shows the progress of work: a bar on a terminal, plain lines elsewhere. */
export interface Bar {
  /** @param figures text that follows the remaining time */
  update(done: number, figures: string): void;
  /** Prints a line above the bar. */
  note(text: string): void;
  /** Ends the bar and restores the cursor of the terminal. Must also be called before a signal ends the process. */
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
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor((whole % 3600) / 60)];
  return hours > 0 ? `${hours} h ${minutes} min` : minutes > 0 ? `${minutes} min ${whole % 60} s` : `${whole} s`;
}

function terminalBar({ stream, start = 0, total, count }: BarOptions): Bar {
  const bar = new SingleBar({
    // Before the first update the remaining time is unknown.
    format: (options, { progress, eta, value }, { count: text, figures }) =>
      `${Format.BarFormat(progress, options)} ${text}${value > start ? ` | ETA ${duration(eta)} | ${figures}` : ''}`,
    stream,
    hideCursor: true,
    etaBuffer: 20,
  });
  bar.start(total, start, { count: count(start), figures: '' });
  return {
    update: (done, figures) => bar.update(done, { count: count(done), figures }),
    note: (text) => stream.write(`\r\u001b[K${text}\n`),
    stop: () => bar.stop(),
  };
}

function plainLines({ stream, start = 0, total, count, plainSeconds, plainEnds }: BarOptions): Bar {
  const began = performance.now();
  let last = plainEnds ? Number.NEGATIVE_INFINITY : began;
  return {
    update(done, figures) {
      const now = performance.now();
      const due = now - last >= plainSeconds * 1e3 || (plainEnds && done >= total);
      if (!due || done <= start) return;
      last = now;
      const left = ((now - began) / 1e3 / (done - start)) * (total - done);
      stream.write(`${count(done)} | ${duration(left)} left | ${figures}\n`);
    },
    note: (text) => stream.write(`${text}\n`),
    stop: () => undefined,
  };
}

/** Starts a bar, or plain lines if the stream is not a terminal. */
export function createBar(options: BarOptions): Bar {
  return options.stream.isTTY ? terminalBar(options) : plainLines(options);
}
