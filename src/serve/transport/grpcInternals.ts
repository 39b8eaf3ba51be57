/**
 * Everything that this service uses of grpc-js 1.14 and of Node's http2 beyond their public interface, and nothing else.
 * `grpcInternals.test.ts` exercises each use on a real server: run it first when either is upgraded.
 */
import type { Http2SecureServer, Http2Server, ServerHttp2Session, ServerHttp2Stream, ServerOptions } from 'node:http2';
import type { Readable } from 'node:stream';
import { type Server, type ServerInterceptingCallInterface, status } from '@grpc/grpc-js';

/** Private fields of grpc-js's Server. */
interface ServerInternals {
  readonly commonServerOptions?: ServerOptions;
  readonly http2Servers?: ReadonlyMap<Http2Server | Http2SecureServer, unknown>;
}

/** Makes an upgrade fail at the start, and not in silence. */
function missing(what: string): Error {
  return new Error(`grpc-js has no ${what} any more; src/serve/transport/grpcInternals.ts was written for 1.14`);
}

/**
 * Sets options of the HTTP/2 servers that a gRPC server will create. Call it before the server is bound. grpc-js has no option
 * for them.
 * @throws Error where grpc-js lacks the field.
 */
export function setHttp2Options(server: Server, { settings, ...options }: ServerOptions): void {
  const { commonServerOptions } = server as unknown as ServerInternals;
  if (!commonServerOptions) throw missing('commonServerOptions');
  Object.assign(commonServerOptions, options, { settings: { ...commonServerOptions.settings, ...settings } });
}

/**
 * The HTTP/2 servers of a gRPC server, one for each address that it is bound to.
 * @throws Error where grpc-js lacks the field.
 */
export function http2ServersOf(server: Server): readonly (Http2Server | Http2SecureServer)[] {
  const { http2Servers } = server as unknown as ServerInternals;
  if (!http2Servers || http2Servers.size === 0) throw missing('http2Servers');
  return [...http2Servers.keys()];
}

/** Private fields of the call that grpc-js gives to the interceptor next to the wire. */
interface CallInternals {
  readonly stream?: ServerHttp2Stream;
  /** The reader of the call's messages. Its first state is that between two messages. */
  readonly decoder?: { readonly readState: number };
}

/** The HTTP/2 stream of a call, as the interceptor next to the wire gets the call. */
export function streamUnder(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  return (call as unknown as CallInternals).stream;
}

/** Whether a part of a message has arrived, and the rest has not. */
export function isWithinMessage(call: ServerInterceptingCallInterface): boolean {
  const { decoder } = call as unknown as CallInternals;
  return decoder !== undefined && decoder.readState !== 0;
}

/**
 * Intercepts the statuses with which grpc-js ends a call by itself, beneath all interceptors: for a message that is too large
 * or cannot be decompressed, or a deadline that is no time. Such a status has neither details nor times, and it would end a
 * stream whose items are being answered.
 * @param handled called with the status; returns whether another one ends the call
 */
export function interceptOwnStatus(
  call: ServerInterceptingCallInterface,
  handled: (code: status, details: string) => boolean,
): void {
  const send = call.sendStatus.bind(call);
  call.sendStatus = (given) => {
    // Our own statuses carry metadata.
    const own = given.code !== status.OK && (given.metadata ?? undefined) === undefined;
    if (!own || !handled(given.code, given.details ?? '')) send(given);
  };
}

/** Drops what still arrives of a call whose message cannot be read: grpc-js would go on to parse it. */
export function dropIncoming(stream: ServerHttp2Stream): void {
  stream.removeAllListeners('data').resume();
}

/**
 * Makes a stream of messages read one message ahead. grpc-js reads 16, whatever their size: up to a gigabyte for a caller who
 * sends the largest.
 */
export function readOneAhead(stream: Readable): void {
  const state = (stream as unknown as { _readableState: { highWaterMark: number } })._readableState;
  state.highWaterMark = 1;
}

/** libuv's own counts of a socket. TLS sockets have them too. */
export interface SocketCounts {
  readonly bytesRead: number;
  readonly bytesWritten: number;
  /** Bytes that the peer has not taken yet. */
  readonly writeQueueSize: number;
}

/** The counts of a connection's socket; undefined for a socket that is closed already. */
export function socketCounts({ socket }: ServerHttp2Session): SocketCounts | undefined {
  return (socket as unknown as { readonly _handle?: SocketCounts })._handle;
}

/** Codes of the errors with which Node ends a session, and its streams, for a fault in the protocol or by a shutdown. */
const sessionErrors = ['ERR_HTTP2_ERROR', 'ERR_HTTP2_SESSION_ERROR'] as const;

/** Whether Node ended a session for what nghttp2 says of it. */
export function isProtocolError({ code }: NodeJS.ErrnoException): boolean {
  return code === sessionErrors[0];
}

/** Whether Node ended a stream because it ended the whole session. */
export function endedWithSession(stream: ServerHttp2Stream): boolean {
  const { errored } = stream as { readonly errored?: NodeJS.ErrnoException | null };
  return sessionErrors.some((code) => code === errored?.code);
}

/**
 * The gRPC status that was handed to HTTP/2, as its number. Node asks for trailers when the peer has taken all messages before
 * them, so a status in trailers says that the answer went out. A status that was sent alone, in the headers, is only known to
 * have been written.
 */
export function sentStatus(stream: ServerHttp2Stream): { readonly code: number; readonly alone: boolean } | undefined {
  const inTrailers = stream.sentTrailers?.['grpc-status'];
  if (inTrailers !== undefined) return { code: Number(inTrailers), alone: false };
  const inHeaders = stream.sentHeaders?.['grpc-status'];
  return inHeaders === undefined ? undefined : { code: Number(inHeaders), alone: true };
}
