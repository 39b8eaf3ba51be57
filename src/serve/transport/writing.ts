import type { Writable } from 'node:stream';
import type { OpenCall } from './openCall.js';

/**
 * Writes one message of a call to its stream, resolving when HTTP/2 has taken it: a slow reader holds its writer up, and
 * one that stops ends the call.
 * @throws the reason of the call's signal when it is aborted meanwhile.
 */
export async function writeMessage(
  stream: Writable,
  bytes: Buffer,
  { call: { signal }, mustTake }: Pick<OpenCall, 'call' | 'mustTake'>,
): Promise<void> {
  signal.throwIfAborted();
  const taken = mustTake(bytes.byteLength);
  await new Promise<void>((resolve, reject) => {
    const onAbort = (): void => reject(signal.reason);
    signal.addEventListener('abort', onAbort, { once: true });
    stream.write(bytes, (error) => {
      signal.removeEventListener('abort', onAbort);
      if (!error) resolve();
      // A destroyed stream fails its writes before it tells why it was destroyed.
      else setImmediate(() => reject(signal.aborted ? signal.reason : error));
    });
  }).finally(taken);
}
