import { write, writeSync } from 'node:fs';
import type { DestinationStream } from 'pino';
import { openFileKind } from '../../files/openFileKind.js';

/** Lines are delayed by at most this many ms ... */
const FLUSH_MS = 100;
/** ... or until there are this many bytes of them. */
const FLUSH_BYTES = 4096;
/** Bytes of lines that wait for a slow reader at most. Further lines are dropped, and their number is logged. */
const MAX_BYTES = 4 * 1024 * 1024;
/** ms between two attempts to write to a full pipe. */
const RETRY_MS = 100;
/** ms for which the end of the process waits for the reader of a full pipe. */
const EXIT_MS = 500;

export interface LogOutputOptions {
  readonly maxBytes?: number;
  /** ms */
  readonly exitMs?: number;
}

/**
 * Buffered, asynchronous output of log lines. Under load, a separate write for each line would take a third of a millisecond of the
 * main thread.
 *
 * No reader can stop the process. While a reader pauses, lines wait, in bounded memory. Once it is gone (EPIPE), lines are discarded.
 * At the end of the process the remaining lines are written, for `exitMs` at most; SIGKILL loses them.
 *
 * pino's own destination does not serve: its flush at the end of the process repeats a failed write forever.
 */
export class LogOutput implements DestinationStream {
  readonly #fd: number;
  readonly #maxBytes: number;
  readonly #exitMs: number;
  #lines: string[] = [];
  /** Bytes of `#lines`. */
  #bytes = 0;
  /** Bytes taken from `#lines` and not written yet. */
  #rest = Buffer.alloc(0);
  #writing = false;
  /** The pipe was full: the timer tries again. */
  #full = false;
  #dropped = 0;
  #failed = false;
  #used = false;
  #timer: NodeJS.Timeout | undefined;

  /** @param fd a descriptor whose writes do not block, see {@link standardOutput} */
  constructor(fd: number, { maxBytes = MAX_BYTES, exitMs = EXIT_MS }: LogOutputOptions = {}) {
    this.#fd = fd;
    this.#maxBytes = maxBytes;
    this.#exitMs = exitMs;
  }

  write(line: string): void {
    if (this.#failed) return;
    if (!this.#used) process.on('exit', () => this.flushSync());
    this.#used = true;
    const bytes = Buffer.byteLength(line);
    if (this.#rest.length + this.#bytes + bytes > this.#maxBytes) {
      this.#dropped++;
      return;
    }
    this.#lines.push(line);
    this.#bytes += bytes;
    if (this.#bytes >= FLUSH_BYTES && !this.#full) this.#flush();
    else this.#flushIn(FLUSH_MS);
  }

  /** Writes what is left. Ends when the descriptor accepts nothing for `exitMs`. Called by pino after a fatal line. */
  flushSync(): void {
    const pause = new Int32Array(new SharedArrayBuffer(4));
    const end = performance.now() + this.#exitMs;
    // The bytes of a write in progress are the system's.
    if (this.#writing) this.#rest = Buffer.alloc(0);
    this.#take();
    while (this.#rest.length > 0) {
      try {
        this.#rest = this.#rest.subarray(writeSync(this.#fd, this.#rest));
      } catch (error) {
        if (!isFull(error) || performance.now() >= end) return;
        Atomics.wait(pause, 0, 0, 10);
      }
    }
  }

  #flushIn(ms: number): void {
    this.#timer ??= setTimeout(() => this.#flush(), ms).unref();
  }

  #take(): void {
    if (this.#dropped > 0) this.#lines.push(droppedLine(this.#dropped));
    this.#dropped = 0;
    this.#rest = Buffer.concat([this.#rest, Buffer.from(this.#lines.join(''))]);
    this.#lines = [];
    this.#bytes = 0;
  }

  #flush(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#full = false;
    if (this.#writing) return;
    if (this.#rest.length === 0) this.#take();
    if (this.#rest.length === 0) return;
    this.#writing = true;
    write(this.#fd, this.#rest, (error, written) => {
      this.#writing = false;
      if (error === null) {
        this.#rest = this.#rest.subarray(written);
        if (this.#rest.length > 0 || this.#bytes >= FLUSH_BYTES || this.#dropped > 0) this.#flush();
        else if (this.#bytes > 0) this.#flushIn(FLUSH_MS);
      } else if (isFull(error)) {
        this.#full = true;
        this.#flushIn(RETRY_MS);
      } else {
        this.#fail();
      }
    });
  }

  #fail(): void {
    this.#failed = true;
    this.#lines = [];
    this.#bytes = 0;
    this.#rest = Buffer.alloc(0);
  }
}

/** The descriptor of standard output. Writes to a pipe or a socket do not block. */
export function standardOutput(): number {
  const kind = openFileKind(1);
  // A thread that is blocked in a write would keep the process from ending. Node makes the descriptor non-blocking when it opens the
  // stream.
  if (kind.isFIFO() || kind.isSocket()) void process.stdout;
  return 1;
}

/** Whether the reader is too slow: the pipe is full. */
function isFull(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'EAGAIN';
}

/** In pino's form, with its number for `warn`. */
function droppedLine(lines: number): string {
  const msg = `${lines} log lines were dropped: the reader of the log is too slow`;
  return `${JSON.stringify({ level: 40, time: Date.now(), pid: process.pid, dropped: lines, msg })}\n`;
}
