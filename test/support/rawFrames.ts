import { once } from 'node:events';
import { connect, type Socket } from 'node:net';

/**
 * An HTTP/2 client that sends raw frames over a socket, for frames that no library sends: it can violate the protocol, and it
 * ignores GOAWAY.
 */

export const FRAME = { data: 0, headers: 1, rst: 3, settings: 4, ping: 6, goaway: 7, windowUpdate: 8, continuation: 9 };

/** Flags of frames; END_STREAM and ACK share a bit. */
export const FLAG = { endStream: 1, ack: 1, endHeaders: 4 };

const MAX_FRAME = 16_384;

export const PREFACE = 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n';

export interface Frame {
  readonly type: number;
  readonly flags: number;
  readonly stream: number;
  readonly payload: Buffer;
}

export function frame(type: number, flags: number, stream: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.byteLength, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A length in the HPACK encoding: seven bits, and further bytes if needed (RFC 7541, 5.1). */
function hpackLength(length: number): Buffer {
  if (length < 127) return Buffer.from([length]);
  const bytes = [127];
  let rest = length - 127;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) | 128);
  return Buffer.from([...bytes, rest]);
}

const hpackText = (text: string): Buffer => Buffer.concat([hpackLength(Buffer.byteLength(text)), Buffer.from(text)]);

export type Fields = readonly (readonly [string, string])[];

/** Fields as an uncompressed header block. */
export function headerBlock(fields: Fields): Buffer {
  return Buffer.concat(fields.flatMap(([name, value]) => [Buffer.from([0]), hpackText(name), hpackText(value)]));
}

/** A header block as a HEADERS frame and, if needed, CONTINUATION frames. */
export function headers(stream: number, fields: Fields, endStream = false): Buffer {
  const block = headerBlock(fields);
  const parts: Buffer[] = [];
  for (let at = 0; at === 0 || at < block.length; at += MAX_FRAME) parts.push(block.subarray(at, at + MAX_FRAME));
  return Buffer.concat(
    parts.map((part, i) => {
      const flags = (i === parts.length - 1 ? FLAG.endHeaders : 0) | (endStream && i === 0 ? FLAG.endStream : 0);
      return frame(i === 0 ? FRAME.headers : FRAME.continuation, flags, stream, part);
    }),
  );
}

/** The header fields of a gRPC call, and additional ones. */
export function callFields(path: string, others: Fields = []): Fields {
  return [
    [':method', 'POST'],
    [':scheme', 'http'],
    [':path', path],
    [':authority', 'localhost'],
    ['content-type', 'application/grpc'],
    ['te', 'trailers'],
    ...others,
  ];
}

/** A gRPC message in DATA frames. */
export function messageFrames(stream: number, message: Buffer, endStream = true): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.byteLength, 1);
  const bytes = Buffer.concat([head, message]);
  const parts: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += MAX_FRAME) {
    const last = at + MAX_FRAME >= bytes.length;
    parts.push(frame(FRAME.data, last && endStream ? FLAG.endStream : 0, stream, bytes.subarray(at, at + MAX_FRAME)));
  }
  return Buffer.concat(parts);
}

/** RST_STREAM with the code CANCEL, by which a client cancels a call. */
export function reset(stream: number): Buffer {
  return frame(FRAME.rst, 0, stream, Buffer.from([0, 0, 0, 8]));
}

export interface RawConnection {
  readonly socket: Socket;
  /** The frames received so far. */
  readonly frames: readonly Frame[];
  send(...frames: readonly Uint8Array[]): void;
  /** Resolves with the first received or future frame that matches. Rejects if the socket closes before. */
  until(test: (frame: Frame) => boolean): Promise<Frame>;
  /** Resolves when the socket has closed. */
  readonly closed: Promise<void>;
  /** Opens another socket to the same service. */
  readonly reopen: () => Socket;
}

/** Opens a connection and acknowledges the service's SETTINGS, so that they take effect. @param open opens the socket; default TCP */
export async function connectRaw(
  address: string,
  open: () => Socket = () => {
    const [host, port] = address.split(':') as [string, string];
    return connect(Number(port), host);
  },
): Promise<RawConnection> {
  const socket = open();
  socket.on('error', () => {});
  const frames: Frame[] = [];
  const waiting = new Set<{ readonly test: (frame: Frame) => boolean; readonly resolve: (frame: Frame) => void }>();
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    for (;;) {
      if (rest.length < 9) return;
      const length = rest.readUIntBE(0, 3);
      if (rest.length < 9 + length) return;
      const got: Frame = {
        ...{ type: rest[3]!, flags: rest[4]!, stream: rest.readUInt32BE(5) },
        payload: rest.subarray(9, 9 + length),
      };
      rest = rest.subarray(9 + length);
      frames.push(got);
      if (got.type === FRAME.settings && !(got.flags & FLAG.ack)) socket.write(frame(FRAME.settings, FLAG.ack, 0));
      for (const waiter of waiting) {
        if (!waiter.test(got)) continue;
        waiting.delete(waiter);
        waiter.resolve(got);
      }
    }
  });
  const closed = once(socket, 'close').then(() => {});
  const connection: RawConnection = {
    ...{ socket, frames, closed, reopen: open },
    send(...sent) {
      socket.write(Buffer.concat(sent));
    },
    until(test) {
      const had = frames.find(test);
      if (had) return Promise.resolve(had);
      return Promise.race([
        new Promise<Frame>((resolve) => waiting.add({ test, resolve })),
        closed.then(() => Promise.reject(new Error('the connection closed before such a frame came'))),
      ]);
    },
  };
  connection.send(Buffer.from(PREFACE), frame(FRAME.settings, 0, 0));
  await connection.until(({ type, flags }) => type === FRAME.settings && flags === 0);
  // After this answer, the service has received the acknowledgement of its settings.
  const payload = Buffer.from('settled!');
  connection.send(frame(FRAME.ping, 0, 0, payload));
  await connection.until((got) => got.type === FRAME.ping && got.payload.equals(payload));
  return connection;
}
