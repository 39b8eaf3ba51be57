import type { Writable } from 'node:stream';

const MiB = 1024 * 1024;

/** Detects a caller that does not take what is written to it. */
export interface WriteStallTimer {
  /** Call it when a message is written. @returns to be called when HTTP/2 has taken the message */
  written(bytes: number): () => void;
  stop(): void;
}

/**
 * The time of each message begins when the message before it was taken: messages that wait behind each other on a slow line are
 * no stall.
 * @param secondsPerMiB time for each MiB of a message, and for a message that is smaller
 * @param onStalled called once, with the size in bytes of the message that was not taken and the seconds that it had
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
    timer = setTimeout(() => {
      stop();
      onStalled(bytes, seconds);
    }, seconds * 1000);
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
        // HTTP/2 takes messages in the order in which they were written.
        waiting.shift();
        watchNext();
      };
    },
    stop,
  };
}

/** The part of an open call that writing a message needs. */
interface WritingCall {
  readonly call: { readonly signal: AbortSignal };
  readonly startWriteTimer: WriteStallTimer['written'];
}

/**
 * Writes one message of a call to its stream. Resolves when HTTP/2 has taken it: a slow reader slows its writer down, and a
 * reader that stops ends the call.
 * @throws the reason of the call's signal when it is aborted meanwhile.
 */
export async function writeMessage(
  stream: Writable,
  bytes: Buffer,
  { call: { signal }, startWriteTimer }: WritingCall,
): Promise<void> {
  signal.throwIfAborted();
  const taken = startWriteTimer(bytes.byteLength);
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (!error) resolve();
      // A destroyed stream fails its writes before it says why it was destroyed.
      else setImmediate(() => reject(signal.aborted ? signal.reason : error));
    });
  }).finally(taken);
}
