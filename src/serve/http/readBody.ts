import type { IncomingMessage } from 'node:http';
import type { ByteBudget } from '../admission/byteBudget.js';
import { ServeError } from '../call/serveError.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';

/** The bytes of a body, counted as held until they are released. */
export interface HeldBody {
  /** Empty once they are released, so that nothing holds them uncounted. */
  readonly bytes: Buffer;
  release(): void;
}

const NOTHING = Buffer.alloc(0);

export interface BodyLimits {
  readonly limits: Pick<ServeLimits, 'maxMessageBytes' | 'receiveSeconds'>;
  /** Counts the bytes while they are held, from their arrival. */
  readonly budget: Pick<ByteBudget, 'tryAcquire'>;
  /** Aborted when the caller is gone, or its deadline passes; the reason is thrown. */
  readonly signal: AbortSignal;
}

function tooLarge(limits: BodyLimits['limits'], bytes: string): ServeError {
  return new ServeError(
    'too_large',
    `the body has ${bytes} bytes, ${overLimit(limits, 'maxMessageBytes')}; send smaller images, or fewer at a time`,
  );
}

/**
 * Reads the body of a request within its limits of bytes and time.
 * @throws ServeError `too_large` before the body is read if its length is announced, else when it is exceeded; `overloaded` if the
 *   requests in progress hold too many bytes; `message_late`; `unsupported_encoding` for a compressed body; the signal's reason.
 */
export async function readBody(request: IncomingMessage, { limits, budget, signal }: BodyLimits): Promise<HeldBody> {
  const encoding = request.headers['content-encoding'] ?? 'identity';
  if (encoding.toLowerCase() !== 'identity') {
    throw new ServeError('unsupported_encoding', 'the body has a content-encoding; send it uncompressed');
  }
  const { maxMessageBytes, receiveSeconds } = limits;
  const announced = Number(request.headers['content-length'] ?? Number.NaN);
  if (announced > maxMessageBytes) throw tooLarge(limits, String(announced));
  signal.throwIfAborted();

  const chunks: Buffer[] = [];
  const permits: { release(): void }[] = [];
  const release = (): void => {
    for (const permit of permits.splice(0)) permit.release();
  };
  try {
    // At once, where the length is known: several bodies could otherwise all be read in part.
    if (announced > 0) permits.push(budget.tryAcquire(announced));
    await new Promise<void>((resolve, reject) => {
      let bytes = 0;
      const fail = (error: unknown): void => {
        settle();
        reject(error);
      };
      const onData = (chunk: Buffer): void => {
        bytes += chunk.byteLength;
        if (bytes > maxMessageBytes) {
          fail(tooLarge(limits, `more than ${maxMessageBytes}`));
          return;
        }
        chunks.push(chunk);
        if (!Number.isNaN(announced)) return;
        try {
          permits.push(budget.tryAcquire(chunk.byteLength));
        } catch (error) {
          fail(error);
        }
      };
      const onEnd = (): void => {
        settle();
        resolve();
      };
      const gone = (): void =>
        fail(new ServeError('cancelled', 'the caller went away before the whole body had arrived'));
      const onAbort = (): void => fail(signal.reason);
      const timer = setTimeout(() => {
        fail(
          new ServeError(
            'message_late',
            `the body of the request did not arrive in ${receiveSeconds} s (receiveSeconds); send less at a time, or faster`,
          ),
        );
      }, receiveSeconds * 1000);
      const settle = (): void => {
        clearTimeout(timer);
        signal.removeEventListener('abort', onAbort);
        request.off('data', onData).off('end', onEnd).off('close', gone).off('error', gone);
        // What still arrives is dropped; an error must not be unhandled.
        request.on('error', () => {}).resume();
      };
      signal.addEventListener('abort', onAbort, { once: true });
      request.on('data', onData).once('end', onEnd).once('close', gone).once('error', gone);
      if (request.destroyed && !request.readableEnded) gone();
    });
    let bytes = chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
    return {
      get bytes() {
        return bytes;
      },
      release() {
        bytes = NOTHING;
        release();
      },
    };
  } catch (error) {
    release();
    throw error;
  }
}
