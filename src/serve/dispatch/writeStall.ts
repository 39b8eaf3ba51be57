import type { Writable } from 'node:stream';

const MiB = 1024 * 1024;

/** The longest timer of Node, 24 days; a longer one would end at once. */
const LONGEST_MS = 2 ** 31 - 1;

/** Detects a caller that does not receive the messages written to it. */
export interface WriteStallTimer {
  /** Call it when a message is written. @returns call it when HTTP/2 has sent the message */
  written(bytes: number): () => void;
  stop(): void;
}

/**
 * The time of a message starts when the previous message was sent: messages that wait behind others on a slow connection are not
 * stalled.
 * @param secondsPerMiB maximum time per MiB of a message; a smaller message has this time too
 * @param onStalled called once, with the bytes of the message that was not sent in time, and its maximum time in seconds
 */
export function createWriteStallTimer(
  secondsPerMiB: number,
  onStalled: (bytes: number, seconds: number) => void,
): WriteStallTimer {
  const waiting: number[] = [];
  let timer: NodeJS.Timeout | undefined;
  let stopped = false;

  function watchNext(): void {
    clearTimeout(timer);
    const bytes = waiting[0];
    if (stopped || bytes === undefined) return;
    const seconds = secondsPerMiB * Math.max(1, bytes / MiB);
    timer = setTimeout(
      () => {
        stop();
        onStalled(bytes, seconds);
      },
      Math.min(seconds * 1000, LONGEST_MS),
    );
  }

  function stop(): void {
    stopped = true;
    clearTimeout(timer);
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
