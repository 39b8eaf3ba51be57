import type { Writable } from 'node:stream';

/** Writes one message. Resolves when it has gone out, or the signal says that the call is over. */
function writeOne<Request>(call: Pick<Writable, 'write'>, request: Request, closed: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      // Not left to the end of the call: a stream of a million messages would have a million listeners.
      closed.removeEventListener('abort', done);
      resolve();
    };
    closed.addEventListener('abort', done, { once: true });
    // A call that has failed tells why to its reader.
    call.write(request, done);
  });
}

/**
 * Writes every request of a stream, each when the one before has gone out, and ends it.
 * @param closed says that the call is over: nothing more is written
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
