import type { Writable } from 'node:stream';

/** The value of a promise; undefined as soon as the signal reports the end of the call. */
function unlessClosed<T>(work: Promise<T>, closed: AbortSignal): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const end = (): void => resolve(undefined);
    closed.addEventListener('abort', end, { once: true });
    // Removed immediately: a stream of a million messages would otherwise have a million listeners.
    const done = (): void => closed.removeEventListener('abort', end);
    work.then(
      (value) => {
        done();
        resolve(value);
      },
      (error: unknown) => {
        done();
        reject(error);
      },
    );
  });
}

/** Closes the requests of a call that is refused before it reads any. */
export function closeUnread(requests: AsyncIterable<unknown>): void {
  try {
    requests[Symbol.asyncIterator]()
      .return?.()
      .catch(() => {});
  } catch {
    // Not iterable: the caller has the error of the call.
  }
}

/**
 * Writes every request of a stream, each after the previous one has been sent, and ends the stream.
 * @param closed aborted when the call is over: nothing more is written, and the iteration is closed, also while it waits for its next
 *   request
 * @throws whatever the caller's iterable throws
 */
export async function writeAll<Request>(
  call: Pick<Writable, 'write' | 'end'>,
  requests: AsyncIterable<Request>,
  closed: AbortSignal,
): Promise<void> {
  const iterator = requests[Symbol.asyncIterator]();
  while (!closed.aborted) {
    const step = await unlessClosed(iterator.next(), closed);
    if (step?.done) {
      call.end();
      return;
    }
    if (step === undefined || closed.aborted) break;
    const { value } = step;
    // The reader of a failed call receives the error.
    await unlessClosed(new Promise<void>((sent) => call.write(value, () => sent())), closed);
  }
  // The call has its result already: an error of closing has nobody to go to.
  iterator.return?.().catch(() => {});
}
