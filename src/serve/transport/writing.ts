import type { Writable } from 'node:stream';

/**
 * Writes one message to a stream, resolving when HTTP/2 has taken it: a slow reader holds its writer up.
 * @throws the signal's reason when it is aborted meanwhile.
 */
export async function writeMessage(stream: Writable, bytes: Buffer, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (!error) resolve();
      // A destroyed stream fails its writes before it tells why it was destroyed.
      else setImmediate(() => reject(signal.aborted ? signal.reason : error));
    });
  });
}
