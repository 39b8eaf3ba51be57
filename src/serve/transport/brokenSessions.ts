import {
  constants,
  type Http2SecureServer,
  type Http2Server,
  type Http2Session,
  type ServerHttp2Session,
  type ServerHttp2Stream,
} from 'node:http2';

/**
 * Connections whose other end broke HTTP/2's rules: header blocks that cannot be decompressed or hold a field over 64 KiB,
 * frames that are too large or stand where none may. nghttp2 then sends GOAWAY and neither reads nor writes any more; for most
 * of these faults Node hears nothing of it, keeps the socket, and lets answers be written that never leave. Here such a
 * connection is found and destroyed, so that its calls end and their callers can go elsewhere.
 */

/** How often connections are looked at, in ms. */
const LOOK_MS = 100;

/** Bytes of a GOAWAY frame without a text. */
const GOAWAY_BYTES = 17;

/** Bytes of a PING frame. */
const PING_BYTES = 17;

/** Looks without a word of the session after which it is asked for one. */
const QUIET_LOOKS = 3;

/**
 * Pings of one connection at once, and the time in ms after which it may have another. Proxies count them: nginx gives up a
 * call with more than 1,000.
 */
const PINGS = { burst: 3, everyMs: 20_000 };

/** libuv's own counts of a socket; TLS sockets have them too. */
interface SocketHandle {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the other end has not taken yet. */
  readonly writeQueueSize: number;
}

/** Sessions that were ended for a fault in the protocol, by whichever side found it. */
const broken = new WeakSet<Http2Session>();

/** Code of the error with which Node ends a session for what nghttp2 says of it. */
const PROTOCOL_ERROR = 'ERR_HTTP2_ERROR';

/** Codes of the errors with which Node ends the streams of a session that it ends itself. */
const SESSION_ERRORS: readonly unknown[] = [PROTOCOL_ERROR, 'ERR_HTTP2_SESSION_ERROR'];

/**
 * Whether a stream was ended with its whole connection, for a fault in the protocol or by a shutdown.
 * @param session that it belonged to while it was open
 */
export function wasCutOff(stream: ServerHttp2Stream, session: Http2Session | undefined): boolean {
  if (session && broken.has(session)) return true;
  const { errored } = stream as { readonly errored?: NodeJS.ErrnoException | null };
  return SESSION_ERRORS.includes(errored?.code);
}

interface Look {
  readonly read: number;
  readonly written: number;
  readonly queued: number;
}

/** @returns what is to be asked of a session every LOOK_MS: whether it is dead */
function watchOne(session: ServerHttp2Session, handle: SocketHandle): () => boolean {
  let last: Look = { read: handle.bytesRead, written: handle.bytesWritten, queued: 0 };
  /** Since how many looks the last that was written may have been a GOAWAY; undefined: it was none. */
  let quiet: number | undefined;
  let pings = PINGS.burst;
  let nextPing = 0;
  /** Bytes of answers to our own pings, which tell nothing. */
  let pongs = 0;

  /** A frame of our own: it goes out, or it shows that none does. */
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
    const look = { read: handle.bytesRead - pongs, written: handle.bytesWritten, queued: outboundQueueSize };
    // Frames wait, the socket would take them, and since the last look nothing has gone out: they never will.
    const stuck = look.queued > 0 && last.queued > 0 && look.written === last.written && handle.writeQueueSize === 0;
    const written = look.written - last.written;
    // Whoever writes is alive, but for the one who writes a GOAWAY for what has come.
    if (written > 0) quiet = look.read > last.read && written >= GOAWAY_BYTES ? 0 : undefined;
    else if (quiet !== undefined && ++quiet >= QUIET_LOOKS) ping();
    last = look;
    return stuck;
  };
}

/**
 * Destroys connections that are dead by HTTP/2's rules, within some tenths of a second.
 * @param onBroken told of each connection that ends for a fault in the protocol, before its calls end
 * @returns stops watching
 */
export function watchSessions(
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

  function look(): void {
    for (const isDead of watched.values()) isDead();
  }

  function onSession(session: ServerHttp2Session): void {
    const { socket } = session;
    const peer = `${socket.remoteAddress}:${socket.remotePort}`;
    const handle = (socket as unknown as { readonly _handle?: SocketHandle })._handle;
    // Faults of which Node hears: it destroys the session itself. Other errors are those of the socket.
    session.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === PROTOCOL_ERROR) end(session, peer);
    });
    session.once('close', () => {
      watched.delete(session);
      if (watched.size > 0) return;
      clearInterval(timer);
      timer = undefined;
    });
    // A socket that closed before it came here.
    if (!handle) return;
    const isDead = watchOne(session, handle);
    watched.set(session, () => {
      if (session.destroyed || !isDead()) return false;
      end(session, peer);
      session.destroy(undefined, constants.NGHTTP2_PROTOCOL_ERROR);
      return true;
    });
    timer ??= setInterval(look, LOOK_MS).unref();
  }

  for (const server of servers) server.on('session', onSession);
  return () => {
    clearInterval(timer);
    for (const server of servers) server.off('session', onSession);
  };
}
