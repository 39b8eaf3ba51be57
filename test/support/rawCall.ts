import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2';

/** A message with the gRPC prefix: not compressed, and its length in four bytes. */
function framed(message: Buffer): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  return Buffer.concat([head, message]);
}

/**
 * Sends messages to a method over HTTP/2. Nothing of the answer is read, while a gRPC client would read ahead.
 * @param path path of the method, such as /package.Service/Method
 */
export function rawCall(session: ClientHttp2Session, path: string, messages: readonly Buffer[]): ClientHttp2Stream {
  const stream = session.request({
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    te: 'trailers',
  });
  for (const message of messages) stream.write(framed(message));
  return stream;
}
