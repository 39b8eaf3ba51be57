import type { Writable } from 'node:stream';

const MiB = 1024 * 1024;

/** The longest timer of Node, 24 days; a longer one would end at once. */
const LONGEST_MS = 2 ** 31 - 1;

/**
 * Bytes of the slices in which transports write a large message. A stream tells when the whole of a write was taken, so without slices it could not
 * be seen whether a caller reads. Large enough to cost no throughput.
 */
export const SLICE_BYTES = 256 * 1024;

/** A message that its caller did not receive in time. */
export interface WriteStall {
  /** Of the message. */
  readonly bytes: number;
  /** The time that has passed. */
  readonly seconds: number;
  /** In that time: the whole message was not received, or no further slice of it. */
  readonly missing: 'whole' | 'progress';
}

/** Detects a caller that does not receive the messages written to it. */
export interface WriteStallTimer {
  /** Call it when a message is written. @returns call it when HTTP/2 has sent the message */
  written(bytes: number): () => void;
  /** Call it when a slice of the first message that was not sent yet was taken. */
  progress(): void;
  stop(): void;
}

/**
 * The time of a message starts when the previous message was sent: messages that wait behind others on a slow connection are not
 * stalled.
 * @param readSeconds maximum time in which no slice of a message is taken, and maximum time per MiB of it; a smaller message has this time too
 * @param onStalled called once
 */
export function createWriteStallTimer(readSeconds: number, onStalled: (stall: WriteStall) => void): WriteStallTimer {
  const waiting: number[] = [];
  const timers: Partial<Record<WriteStall['missing'], NodeJS.Timeout>> = {};
  let stopped = false;

  function watch(missing: WriteStall['missing'], bytes: number, seconds: number): void {
    clearTimeout(timers[missing]);
    timers[missing] = setTimeout(
      () => {
        stop();
        onStalled({ bytes, seconds, missing });
      },
      Math.min(seconds * 1000, LONGEST_MS),
    );
  }

  function watchProgress(): void {
    const bytes = waiting[0];
    // The whole of a smaller message has no more time than a part of a larger one.
    if (!stopped && bytes !== undefined && bytes > MiB) watch('progress', bytes, readSeconds);
  }

  function watchNext(): void {
    clearTimers();
    const bytes = waiting[0];
    if (stopped || bytes === undefined) return;
    watch('whole', bytes, readSeconds * Math.max(1, bytes / MiB));
    watchProgress();
  }

  function clearTimers(): void {
    clearTimeout(timers.whole);
    clearTimeout(timers.progress);
  }

  function stop(): void {
    stopped = true;
    clearTimers();
  }

  return {
    written(bytes) {
      waiting.push(bytes);
      if (waiting.length === 1) watchNext();
      return () => {
        // HTTP/2 sends messages in the order in which they were written.
        waiting.shift();
        watchNext();
      };
    },
    progress: watchProgress,
    stop,
  };
}

/** The part of an open call that `writeMessage` uses. */
interface WritingCall {
  readonly call: { readonly signal: AbortSignal };
  readonly startWriteTimer: WriteStallTimer['written'];
}

/**
 * Writes one message of a call to its stream. Resolves when HTTP/2 has sent it, so that a slow reader slows the writer down; if the
 * reader stops, the call is ended.
 * @throws the reason of the call's signal if it is aborted in the meantime.
 */
export async function writeMessage(
  stream: Writable,
  bytes: Buffer,
  { call: { signal }, startWriteTimer }: WritingCall,
): Promise<void> {
  signal.throwIfAborted();
  const stopTimer = startWriteTimer(bytes.byteLength);
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (!error) resolve();
      // Writes to a destroyed stream fail before the signal has the reason.
      else setImmediate(() => reject(signal.aborted ? signal.reason : error));
    });
  }).finally(stopTimer);
}
