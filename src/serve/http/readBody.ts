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

/** The fewest bytes by which a body grows. */
const LEAST_BLOCK_BYTES = 4096;

/** The most bytes by which a body of unknown length grows. */
const MOST_BLOCK_BYTES = 65_536;

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
 * The bytes of a body in blocks, acquired as they arrive: a header alone, which may announce any length, holds nothing. Chunks are copied: each is
 * an object of a kilobyte, which may hold a block of the socket, and the caller decides how many bytes it has.
 *
 * A block has about as many bytes as have arrived before it, so that a body holds at most twice what its caller has sent, few blocks, and from its
 * half on all that was announced. Bodies that begin at the same time may exceed the budget together: as none waits, one of them is refused, and what
 * it held lets the others go on.
 * @param announced length of the body, if it is known
 * @param mostBytes maximum length of the body
 */
function createBlocks(announced: number | undefined, mostBytes: number, budget: BodyLimits['budget']) {
  const blocks: Buffer[] = [];
  const permits: { release(): void }[] = [];
  const most = announced ?? mostBytes;
  /** Bytes of all blocks. */
  let capacity = 0;
  let length = 0;

  /** @param coming bytes that have arrived and have no place yet */
  function grow(coming: number): void {
    const wanted = Math.max(LEAST_BLOCK_BYTES, length, coming);
    const limit = announced === undefined ? MOST_BLOCK_BYTES : wanted;
    const bytes = Math.min(wanted, limit, most - capacity);
    permits.push(budget.tryAcquire(bytes));
    blocks.push(Buffer.allocUnsafeSlow(bytes));
    capacity += bytes;
  }

  return {
    get length() {
      return length;
    },
    /** @throws ServeError `overloaded` */
    append(chunk: Buffer): void {
      for (let at = 0; at < chunk.byteLength; ) {
        if (length === capacity) grow(chunk.byteLength - at);
        const block = blocks.at(-1)!;
        const copied = chunk.copy(block, block.byteLength - (capacity - length), at);
        at += copied;
        length += copied;
      }
    },
    /** The body as one piece. The blocks are not held any longer, but their bytes stay counted. */
    join(): Buffer {
      const held = blocks.splice(0);
      return held.length === 1 ? held[0]!.subarray(0, length) : Buffer.concat(held, length);
    },
    release(): void {
      blocks.length = 0;
      for (const permit of permits.splice(0)) permit.release();
    },
  };
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
  const given = request.headers['content-length'];
  const announced = given === undefined ? undefined : Number(given);
  if (announced !== undefined && announced > maxMessageBytes) throw tooLarge(limits, String(announced));
  signal.throwIfAborted();

  // Refused before it is read if it does not fit beside what is held now.
  if (announced !== undefined) budget.tryAcquire(announced).release();
  const blocks = createBlocks(announced, maxMessageBytes, budget);
  try {
    await new Promise<void>((resolve, reject) => {
      const fail = (error: unknown): void => {
        settle();
        reject(error);
      };
      const onData = (chunk: Buffer): void => {
        if (blocks.length + chunk.byteLength > maxMessageBytes) {
          fail(tooLarge(limits, `more than ${maxMessageBytes}`));
          return;
        }
        try {
          blocks.append(chunk);
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
    let bytes = blocks.join();
    return {
      get bytes() {
        return bytes;
      },
      release() {
        bytes = NOTHING;
        blocks.release();
      },
    };
  } catch (error) {
    blocks.release();
    throw error;
  }
}
