import type { Writable } from 'node:stream';

/** Writes one message. Resolves when it has been sent, or when the signal reports the end of the call. */
function writeOne<Request>(call: Pick<Writable, 'write'>, request: Request, closed: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      // Removed immediately: a stream of a million messages would otherwise have a million listeners.
      closed.removeEventListener('abort', done);
      resolve();
    };
    closed.addEventListener('abort', done, { once: true });
    // The reader of a failed call receives the error.
    call.write(request, done);
  });
}

/**
 * Writes every request of a stream, each after the previous one has been sent, and ends the stream.
 * @param closed aborted when the call is over: nothing more is written
 * @throws whatever the caller's iterable throws
 */
export async function writeAll<Request>(
  call: Pick<Writable, 'write' | 'end'>,
  requests: AsyncIterable<Request>,
  closed: AbortSignal,
): Promise<void> {
  for await (const request of requests) {
    if (closed.aborted) return;
    await writeOne(call, request, closed);
  }
  call.end();
}
