import { Readable } from 'node:stream';
import type { FastifyReply } from 'fastify';
import { SLICE_BYTES } from '../dispatch/writeStall.js';

const NOTHING = Buffer.alloc(0);

/**
 * A body as a stream of slices. Each is made when the socket has taken those before it, but for one or two.
 * @param onTaken called for each slice
 */
export function slicesOf(body: string | Uint8Array, onTaken: () => void): Readable {
  let rest: Uint8Array = typeof body === 'string' ? Buffer.from(body) : body;
  return new Readable({
    highWaterMark: SLICE_BYTES,
    read() {
      onTaken();
      const slice = rest.subarray(0, SLICE_BYTES);
      rest = rest.subarray(SLICE_BYTES);
      this.push(slice.byteLength > 0 ? slice : null);
    },
    destroy(error, done) {
      rest = NOTHING;
      done(error);
    },
  });
}

/** Sends a large body in slices, since a socket tells only when the whole of a write was taken. Resolves when the response has closed. */
export function sendSliced(reply: FastifyReply, body: string | Uint8Array, onTaken: () => void): Promise<void> {
  const { raw } = reply;
  const slices = slicesOf(body, onTaken);
  reply.header('content-length', Buffer.byteLength(body)).send(slices);
  // Fastify would send a second response if the handler ended before the header of this one was sent.
  return new Promise((resolve) => {
    if (raw.closed) resolve();
    else raw.once('close', resolve);
  });
}
