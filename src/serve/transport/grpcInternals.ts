/**
 * All uses of grpc-js 1.14 and of Node's http2 beyond their public interfaces, and nothing else.
 * `grpcInternals.integration.test.ts` tests each of them on a real server: run it first when either is upgraded.
 */
import type {
  Http2SecureServer,
  Http2Server,
  Http2Session,
  ServerHttp2Session,
  ServerHttp2Stream,
  ServerOptions,
} from 'node:http2';
import type { Readable } from 'node:stream';
import { type Server, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

/** Private fields of grpc-js's Server. */
interface ServerInternals {
  readonly commonServerOptions?: ServerOptions;
  readonly http2Servers?: ReadonlyMap<
    Http2Server | Http2SecureServer,
    { readonly sessions?: ReadonlySet<ServerHttp2Session> }
  >;
}

/** Makes an incompatible upgrade fail when the server starts. */
function missing(what: string): Error {
  return new Error(`grpc-js no longer has ${what}; src/serve/transport/grpcInternals.ts was written for 1.14`);
}

/**
 * Sets options of the HTTP/2 servers that a gRPC server will create, for which grpc-js has no option. Call it before the server is
 * bound.
 * @throws Error if grpc-js does not have the field.
 */
export function setHttp2Options(server: Server, { settings, ...options }: ServerOptions): void {
  const { commonServerOptions } = server as unknown as ServerInternals;
  if (!commonServerOptions) throw missing('commonServerOptions');
  Object.assign(commonServerOptions, options, { settings: { ...commonServerOptions.settings, ...settings } });
}

/**
 * The HTTP/2 servers of a gRPC server, one for each bound address.
 * @throws Error if grpc-js does not have the field.
 */
export function http2ServersOf(server: Server): readonly (Http2Server | Http2SecureServer)[] {
  const { http2Servers } = server as unknown as ServerInternals;
  if (!http2Servers || http2Servers.size === 0) throw missing('http2Servers');
  return [...http2Servers.keys()];
}

/** Connections that the service has dropped. */
const dropped = new WeakSet<Http2Session>();

/**
 * Closes a connection by its socket, so that its client sees a lost connection: UNAVAILABLE, which is retried. Where Node ends the session
 * itself, it first resets the streams, which clients report as CANCELLED or INTERNAL.
 */
export function dropConnection(session: ServerHttp2Session): void {
  dropped.add(session);
  // The socket of a session lets only some of its methods through.
  if (!session.destroyed) session.socket.destroySoon();
}

/** Closes every connection of a gRPC server. Before grpc-js's own forceShutdown, which resets each stream with CANCEL. */
export function dropConnections(server: Server): void {
  const { http2Servers } = server as unknown as ServerInternals;
  for (const { sessions = [] } of http2Servers?.values() ?? []) for (const session of sessions) dropConnection(session);
}

/** Private fields of the call that grpc-js gives to the innermost interceptor. */
interface CallInternals {
  readonly stream?: ServerHttp2Stream;
  /** The reader of the call's messages. Its first state is that between two messages. */
  readonly decoder?: {
    readonly readState: number;
    /** The parts of the message that have arrived; a new list for each message. */
    readonly readPartialMessage?: Buffer[];
    write(data: Buffer): Buffer[];
  };
}

/** The HTTP/2 stream of a call, as the innermost interceptor receives it. */
export function streamUnder(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  return (call as unknown as CallInternals).stream;
}

/** Whether only a part of a message has arrived. */
export function isWithinMessage(call: ServerInterceptingCallInterface): boolean {
  const { decoder } = call as unknown as CallInternals;
  return decoder !== undefined && decoder.readState !== 0;
}

/** Parts of a message that may be smaller than JOINED_BYTES. */
const SMALL_PARTS = 128;
/** Size from which a part is not joined with others any more. */
const JOINED_BYTES = 65_536;

/**
 * Joins the small parts of the messages of a call. grpc-js keeps each DATA frame as a Buffer until the message is complete, and a
 * caller may send frames of one byte: each would take a hundred bytes in memory, which no limit counts.
 */
export function joinSmallParts(call: ServerInterceptingCallInterface): void {
  const { decoder } = call as unknown as CallInternals;
  if (!decoder) return;
  const write = decoder.write.bind(decoder);
  let parts: Buffer[] | undefined;
  /** Number of parts at the beginning of the list that are not joined any more. */
  let done = 0;
  decoder.write = (data) => {
    const messages = write(data);
    if (decoder.readPartialMessage !== parts) {
      parts = decoder.readPartialMessage;
      done = 0;
    }
    if (parts === undefined || decoder.readState === 0 || parts.length - done < SMALL_PARTS) return messages;
    const small = parts.slice(done);
    const bytes = small.reduce((sum, { byteLength }) => sum + byteLength, 0);
    // Larger parts are not copied: their overhead is small.
    if (bytes < JOINED_BYTES) parts.splice(done, small.length, Buffer.concat(small, bytes));
    else done = parts.length;
    return messages;
  };
}

/**
 * Writes the large messages of a stream in slices, one after the other: grpc-js writes a message as one, and HTTP/2 tells only when all of it was
 * sent, so that a caller that reads slowly would look like one that has stopped.
 * @param onTaken called when a slice that is not the last one was sent
 */
export function writeInSlices(stream: ServerHttp2Stream, bytes: number, onTaken: () => void): void {
  type Done = (error?: Error | null) => void;
  const write = stream.write.bind(stream) as (data: Buffer, done?: Done) => boolean;
  function writeFrom(message: Buffer, at: number, done: Done): boolean {
    const end = at + bytes;
    if (end >= message.byteLength) return write(message.subarray(at), done);
    return write(message.subarray(at, end), (error) => {
      if (error) {
        done(error);
        return;
      }
      onTaken();
      // A status that could not wait for the message, such as that of a passed deadline, has ended the stream.
      if (!stream.writableEnded) writeFrom(message, end, done);
    });
  }
  // The only form in which grpc-js calls it, for each message when the one before was sent.
  stream.write = ((message: Buffer, done: Done = () => {}) => writeFrom(message, 0, done)) as typeof stream.write;
}

/**
 * Intercepts the statuses with which grpc-js itself ends a call below all interceptors: for a message that is too large or cannot be
 * decompressed, or an invalid deadline. Such a status has neither details nor times, and it would end a stream whose items are still
 * being answered.
 * @param handled called with the status; returns whether it is replaced by another one
 */
export function interceptOwnStatus(
  call: ServerInterceptingCallInterface,
  handled: (code: status, details: string) => boolean,
): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (given) => {
    // Statuses of this service have metadata.
    const own = given.code !== status.OK && (given.metadata ?? undefined) === undefined;
    if (!own || !handled(given.code, given.details ?? '')) send(given);
  };
}

/** Discards further data of a call whose message cannot be read; grpc-js would continue to parse it. */
export function dropIncoming(stream: ServerHttp2Stream): void {
  stream.removeAllListeners('data').resume();
}

/**
 * Limits the read-ahead of a stream to one message. grpc-js buffers 16, whatever their size: up to a gigabyte if they are of the
 * maximum size.
 */
export function readOneAhead(stream: Readable): void {
  const state = (stream as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** The counters of libuv for a socket. TLS sockets have them too. */
export interface SocketCounts {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the peer has not received yet. */
  readonly writeQueueSize: number;
}

/** The counters of a connection's socket; undefined for a closed socket. */
export function socketCounts({ socket }: ServerHttp2Session): SocketCounts | undefined {
  return (socket as unknown as { readonly _handle?: SocketCounts })._handle;
}

/** Codes of the errors with which Node ends a session, and its streams, after a protocol error or at a shutdown. */
const sessionErrors = ['ERR_HTTP2_ERROR', 'ERR_HTTP2_SESSION_ERROR'] as const;

/** Whether Node ended a session because of a protocol error that nghttp2 reported. */
export function isProtocolError({ code }: NodeJS.ErrnoException): boolean {
  return code === sessionErrors[0];
}

/** Whether Node ended a stream because it ended the whole session. */
export function endedWithSession(stream: ServerHttp2Stream): boolean {
  const { errored } = stream as { readonly errored?: NodeJS.ErrnoException | null };
  return sessionErrors.some((code) => code === errored?.code);
}

/**
 * Whether the service dropped the connection: at a shutdown, or when the grace period of its age was over.
 * @param session the session of a stream, which has to be read while the stream is open
 */
export const wasDropped = (session: Http2Session | undefined): boolean => session !== undefined && dropped.has(session);

/**
 * The gRPC status that was passed to HTTP/2, as a number. Node requests trailers when the peer has received all earlier messages, so
 * a status in trailers means that the response was sent. A status that was sent alone, in the headers, is only known to be written.
 */
export function sentStatus(stream: ServerHttp2Stream): { readonly code: number; readonly alone: boolean } | undefined {
  const inTrailers = stream.sentTrailers?.['grpc-status'];
  if (inTrailers !== undefined) return { code: Number(inTrailers), alone: false };
  const inHeaders = stream.sentHeaders?.['grpc-status'];
  return inHeaders === undefined ? undefined : { code: Number(inHeaders), alone: true };
}
