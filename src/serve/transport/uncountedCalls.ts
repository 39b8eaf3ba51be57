import type { Http2SecureServer, Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { methodName } from '../dispatch/codec.js';
import { sentStatus } from './grpcInternals.js';

/**
 * Counts calls that no handler and no interceptor has counted: no method has their path, they are not gRPC, grpc-js answered them
 * itself, or they ended before their whole message had arrived. Each is counted once, by the status that HTTP/2 reports, so that the
 * counts of all codes add up to the number of calls.
 */

/** Code of a call that ended without an answer before its message had arrived. */
export const NO_MESSAGE = 'NO_MESSAGE';

/** Code of a request whose content type is not that of gRPC. It is answered with HTTP status 415. */
const NOT_GRPC = 'NOT_GRPC';

/** The label of calls whose path is not a method of this service, since a label must have few values. */
const UNKNOWN_METHOD = 'unknown';

/** Calls that a handler or an interceptor counts. */
const claimed = new WeakSet<ServerHttp2Stream>();

/** Claims the right to count a call, so that it is counted once. @returns false if it is already claimed */
export function claimCount(stream: ServerHttp2Stream | undefined): boolean {
  if (!stream) return true;
  if (claimed.has(stream)) return false;
  claimed.add(stream);
  return true;
}

/** Whether a path belongs to another service of the server (health, reflection), whose calls are not counted. */
export const isForeign = (path: string): boolean => path.startsWith('/grpc.');

export interface UncountedCall {
  /** Name of a method of the service, or `unknown`. */
  readonly method: string;
  /** Name of a gRPC status, `NO_MESSAGE` or `NOT_GRPC`. */
  readonly code: string;
  /** The path that the caller sent, cut to 200 characters. */
  readonly path: string;
  readonly peer: string;
  readonly stream: ServerHttp2Stream;
}

export interface UncountedOptions {
  /** Paths of the service's methods. */
  readonly paths: ReadonlySet<string>;
  readonly ended: (call: UncountedCall) => void;
}

const PATH_CHARACTERS = 200;

function codeOf(stream: ServerHttp2Stream): string {
  const sent = sentStatus(stream);
  if (sent) return status[sent.code] ?? 'UNKNOWN';
  return stream.sentHeaders?.[':status'] === 415 ? NOT_GRPC : NO_MESSAGE;
}

/** The log message for a code of an uncounted call. */
export function uncountedMessage(code: string): string {
  if (code === NO_MESSAGE) return 'the call ended before its whole message had arrived';
  if (code === NOT_GRPC) return 'the content-type of the request is not that of gRPC';
  return 'the call ended before it reached a method';
}

/** Watches every stream of the servers, and reports those that end unclaimed. */
export function watchUncountedCalls(
  servers: readonly (Http2Server | Http2SecureServer)[],
  options: UncountedOptions,
): void {
  const { paths, ended } = options;

  function onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'] ?? '';
    if (isForeign(path)) return;
    const socket = stream.session?.socket;
    const peer = `${socket?.remoteAddress}:${socket?.remotePort}`;
    const end = (): void => {
      if (!claimCount(stream)) return;
      const method = paths.has(path) ? methodName({ path }) : UNKNOWN_METHOD;
      ended({ method, code: codeOf(stream), path: path.slice(0, PATH_CHARACTERS), peer, stream });
    };
    // A stream that was reset before it was read is closed only when it is read, but it emits `aborted` immediately. Handlers claim
    // their calls at the start, before either event.
    stream.once('aborted', end);
    stream.once('close', end);
  }

  // Before the listener of grpc-js, which may answer, and thus close, a stream.
  for (const server of servers) server.prependListener('stream', onStream);
}
