import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';
import { endedWithSession, isProtocolError, type SocketCounts, socketCounts } from './grpcInternals.js';

/**
 * Finds connections whose peer violated HTTP/2: a header block that cannot be decompressed or that holds a field over 64 KiB, a
 * frame that is too large or out of place. nghttp2 then sends GOAWAY, and neither reads nor writes any more. Node does not hear
 * of most of these faults: it keeps the socket, and accepts answers that never leave. This module destroys such a connection, so
 * that its calls end and their callers can retry elsewhere.
 */

/** Interval of the checks in ms. */
const CHECK_MS = 100;

/** Bytes of a GOAWAY frame without debug data. */
const GOAWAY_BYTES = 17;

/** Bytes of a PING frame. */
const PING_BYTES = 17;

/** Checks without traffic after which the connection is pinged. */
const QUIET_CHECKS = 3;

/** Token bucket of pings per connection; times in ms. Proxies count pings: nginx ends a connection with more than 1,000. */
const PINGS = { burst: 3, everyMs: 20_000 };

/** Sessions that ended for a protocol error, whether Node or this module found it. */
const broken = new WeakSet<Http2Session>();

/**
 * Whether a stream ended with its whole connection, for a protocol error or by a shutdown.
 * @param session of the stream, taken while it was open
 */
export function wasCutOff(stream: ServerHttp2Stream, session: Http2Session | undefined): boolean {
  return (session !== undefined && broken.has(session)) || endedWithSession(stream);
}

/** Counters of a connection at one check. */
interface Sample {
  readonly read: number;
  readonly written: number;
  readonly queued: number;
}

/** @returns the check to be called every CHECK_MS: whether the session is dead */
function watchOne(session: ServerHttp2Session, socket: SocketCounts): () => boolean {
  let last: Sample = { read: socket.bytesRead, written: socket.bytesWritten, queued: 0 };
  /** Checks since a write that may have been a GOAWAY; undefined after any other write. */
  let quiet: number | undefined;
  let pings = PINGS.burst;
  let nextPing = 0;
  /** Bytes of the answers to our own pings, which are no traffic of the peer's. */
  let pongs = 0;

  /** Queues a frame of our own: where it does not leave, nothing does. */
  function ping(): void {
    const now = performance.now();
    if (pings < PINGS.burst && now >= nextPing) pings++;
    if (pings === 0) return;
    pings--;
    nextPing = now + PINGS.everyMs;
    quiet = undefined;
    session.ping((error) => {
      if (!error) pongs += PING_BYTES;
    });
  }

  return () => {
    const { outboundQueueSize = 0 } = session.state;
    const now = { read: socket.bytesRead - pongs, written: socket.bytesWritten, queued: outboundQueueSize };
    // Frames are queued, the socket has room, and nothing has left since the last check: it never will.
    const stuck = now.queued > 0 && last.queued > 0 && now.written === last.written && socket.writeQueueSize === 0;
    const written = now.written - last.written;
    // A session that writes is alive, unless the write is the GOAWAY that answers what it has read.
    if (written > 0) quiet = now.read > last.read && written >= GOAWAY_BYTES ? 0 : undefined;
    else if (quiet !== undefined && ++quiet >= QUIET_CHECKS) ping();
    last = now;
    return stuck;
  };
}

/**
 * Destroys connections that ended by a violation of HTTP/2, within some tenths of a second.
 * @param onBroken called with the peer of each such connection, before its calls end
 * @returns stops watching
 */
export function watchConnections(
  servers: readonly (Http2Server | Http2SecureServer)[],
  onBroken: (peer: string) => void,
): () => void {
  const watched = new Map<ServerHttp2Session, () => boolean>();
  let timer: NodeJS.Timeout | undefined;

  function end(session: ServerHttp2Session, peer: string): void {
    if (broken.has(session)) return;
    broken.add(session);
    onBroken(peer);
  }

  function checkAll(): void {
    for (const isDead of watched.values()) isDead();
  }

  function onSession(session: ServerHttp2Session): void {
    const { socket } = session;
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const counts = socketCounts(session);
    // Node destroys the session itself for the faults that it hears of. Other errors are those of the socket.
    session.once('error', (error: NodeJS.ErrnoException) => {
      if (isProtocolError(error)) end(session, peer);
    });
    session.once('close', () => {
      watched.delete(session);
      if (watched.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
    // The socket has closed already.
    if (!counts) return;
    const isDead = watchOne(session, counts);
    watched.set(session, () => {
      if (session.destroyed || !isDead()) return false;
      end(session, peer);
      session.destroy(undefined, constants.NGHTTP2_PROTOCOL_ERROR);
      return true;
    });
    timer ??= setInterval(checkAll, CHECK_MS).unref();
  }

  for (const server of servers) server.on('session', onSession);
  return () => {
    clearInterval(timer);
    for (const server of servers) server.off('session', onSession);
  };
}
