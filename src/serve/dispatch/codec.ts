import { entryCounter } from '../../proto/entryCount.js';
import { ServeError } from '../call/serveError.js';
import { overLimit, type ServeLimits } from '../config/serveLimits.js';

/** The part of a generated method definition that a handler needs. */
export interface Definition<Request, Response> {
  readonly path: string;
  readonly requestType: Parameters<typeof entryCounter>[0];
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(response: Response): Buffer;
}

/** The bytes of a message in an object that can be emptied, since grpc-js retains the delivered object until the call ends. */
export interface RawRequest {
  bytes: Buffer | undefined;
}

/** Name of a method without its service. */
export function methodName(definition: { readonly path: string }): string {
  return definition.path.split('/').at(-1)!;
}

/** Removes the bytes from their object, so that only the parsed request holds them, and images are freed when they are decoded. */
export function unbox(request: RawRequest): Buffer {
  const bytes = request.bytes ?? Buffer.alloc(0);
  request.bytes = undefined;
  return bytes;
}

/** Memory of an entry of a message in bytes, in addition to its encoded bytes. An empty request of a batch, the smallest, uses 74. */
const ENTRY_BYTES = 128;

/**
 * Creates a function that computes the memory of a message in bytes before it is decoded. It throws ServeError `too_large` for a
 * message with more entries.
 * @param maxEntries maximum entries of one message
 */
export function createMessageCost(
  { requestType }: Pick<Definition<never, never>, 'requestType'>,
  maxEntries: number,
): (request: RawRequest) => number {
  const count = entryCounter(requestType);
  return ({ bytes }) => {
    if (bytes === undefined) return 0;
    const entries = count(bytes, maxEntries);
    if (entries > maxEntries) {
      throw new ServeError(
        'too_large',
        `the message has more than ${maxEntries} entries (messageEntries; a nested message counts as one, and so do an ` +
          'element of a list of texts or bytes, eight scalar fields or 16 packed numbers); send them in several calls',
      );
    }
    return bytes.byteLength + entries * ENTRY_BYTES;
  };
}

/** @throws ServeError `invalid_argument` for bytes that are not a request of the method. */
export function parseRequest<Request>(definition: Definition<Request, never>, bytes: Buffer): Request {
  try {
    return definition.requestDeserialize(bytes);
  } catch (cause) {
    const reason = String(cause);
    throw new ServeError(
      'invalid_argument',
      `the message is not a valid ${methodName(definition)} request: ${reason}`,
      { cause },
    );
  }
}

/** @throws ServeError `too_large` for a response message over `maxResponseBytes`. */
export function checkAnswerSize(bytes: Buffer, limits: Pick<ServeLimits, 'maxResponseBytes'>): Buffer {
  if (bytes.byteLength <= limits.maxResponseBytes) return bytes;
  throw new ServeError(
    'too_large',
    `the response has ${bytes.byteLength} bytes, ${overLimit(limits, 'maxResponseBytes')}; ask for dtype float16, a smaller ` +
      'size (resize), or less in one call',
  );
}
