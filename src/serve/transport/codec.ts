import { ServeError } from '../serveError.js';

/** The part of a generated method definition that a handler needs. */
export interface Definition<Request, Response> {
  readonly path: string;
  requestDeserialize(bytes: Buffer): Request;
  responseSerialize(response: Response): Buffer;
}

/** The bytes of a message, in a box that can be emptied: grpc-js keeps what it delivered until the call ends. */
export interface RawRequest {
  bytes: Buffer | undefined;
}

/** Name of a method without its service. */
export function methodName(definition: { readonly path: string }): string {
  return definition.path.split('/').at(-1)!;
}

/**
 * Takes the bytes out of their box: from here on their reader alone holds the request, and drops images as it decodes
 * them.
 */
export function unbox(request: RawRequest): Buffer {
  const bytes = request.bytes ?? Buffer.alloc(0);
  request.bytes = undefined;
  return bytes;
}

/** @throws ServeError `invalid_argument` for bytes that are no message of the method. */
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

/** @throws ServeError `too_large` over the limit in bytes. */
export function checkAnswerSize(bytes: Buffer, limit: number): Buffer {
  if (bytes.byteLength <= limit) return bytes;
  throw new ServeError(
    'too_large',
    `the answer of ${bytes.byteLength} bytes is over the server's limit of ${limit}; ` +
      'ask for dtype float16, or a smaller size (resize)',
  );
}
