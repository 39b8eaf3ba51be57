import type { Writable } from 'node:stream';

/** Writes one message. Resolves when it has been sent, or when the signal reports that the call has ended. */
function writeOne<Request>(call: Pick<Writable, 'write'>, request: Request, closed: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      // Removed now, not at the end of the call: a stream of a million messages would have a million listeners.
      closed.removeEventListener('abort', done);
      resolve();
    };
    closed.addEventListener('abort', done, { once: true });
    // The cause of a failed call is reported to its reader.
    call.write(request, done);
  });
}

/**
 * Writes the requests of a stream, each after the previous one has been sent, and ends the stream.
 * @param closed aborted when the call has ended; nothing more is written then
 * @throws what the caller's iterable throws
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
