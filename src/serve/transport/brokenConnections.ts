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
 * Detects connections whose client violated HTTP/2: by a header block that cannot be decompressed or has a field over 64 KiB, or by a
 * frame that is too large or in the wrong place. nghttp2 then sends GOAWAY, and no longer reads or writes. Node is not notified of most
 * of these errors: it keeps the socket open, and accepts responses that are never sent. This module destroys such connections, so
 * that their calls end and the callers can retry elsewhere.
 */

/** Interval of the checks in ms. */
const CHECK_MS = 100;

/** Bytes of a GOAWAY frame without debug data. */
const GOAWAY_BYTES = 17;

/** Bytes of a PING frame. */
const PING_BYTES = 17;

/** Checks without traffic after which the connection is pinged. */
const QUIET_CHECKS = 3;

/** Token bucket of pings per connection, in ms. Proxies limit pings: nginx closes a connection after more than 1,000. */
const PINGS = { burst: 3, everyMs: 20_000 };

/** Sessions that ended because of a protocol error, which Node or this module detected. */
const broken = new WeakSet<Http2Session>();

/**
 * Whether a stream ended with its whole connection, because of a protocol error or a shutdown.
 * @param session the session of the stream, which has to be read while the stream is open
 */
export function wasCutOff(stream: ServerHttp2Stream, session: Http2Session | undefined): boolean {
  return (session !== undefined && broken.has(session)) || endedWithSession(stream);
}

/** Counters of a connection at a check. */
interface Sample {
  readonly read: number;
  readonly written: number;
  readonly queued: number;
}

/** @returns a check to be called every CHECK_MS; it returns whether the session is dead */
function watchOne(session: ServerHttp2Session, socket: SocketCounts): () => boolean {
  let last: Sample = { read: socket.bytesRead, written: socket.bytesWritten, queued: 0 };
  /** Checks since a write that may have been a GOAWAY; undefined after any other write. */
  let quiet: number | undefined;
  let pings = PINGS.burst;
  let nextPing = 0;
  /** Bytes of the answers to our own pings, which do not count as traffic of the peer. */
  let pongs = 0;

  /** Queues a frame: if it is not sent, the connection is dead. */
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
    // Frames are queued, the socket is writable, and nothing was sent since the last check: the session is dead.
    const stuck = now.queued > 0 && last.queued > 0 && now.written === last.written && socket.writeQueueSize === 0;
    const written = now.written - last.written;
    // A session that writes is alive, unless the write may be a GOAWAY in response to what it has read.
    if (written > 0) quiet = now.read > last.read && written >= GOAWAY_BYTES ? 0 : undefined;
    else if (quiet !== undefined && ++quiet >= QUIET_CHECKS) ping();
    last = now;
    return stuck;
  };
}

/**
 * Destroys connections that ended because of an HTTP/2 violation, within some tenths of a second.
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
    // Node itself destroys the session for the errors of which it is notified. Other errors are those of the socket.
    session.once('error', (error: NodeJS.ErrnoException) => {
      if (isProtocolError(error)) end(session, peer);
    });
    session.once('close', () => {
      watched.delete(session);
      if (watched.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
    // The socket is already closed.
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
