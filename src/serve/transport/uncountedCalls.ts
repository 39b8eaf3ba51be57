import type { Http2SecureServer, Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { methodName } from './codec.js';
import { sentStatus } from './grpcInternals.js';

/**
 * Calls that end and were counted by no handler and no interceptor: no method has their path, they are not gRPC, grpc-js
 * answered them by itself, or the caller was gone before the whole message had arrived. Each is counted once, by the status that
 * HTTP/2 has seen, so that the counts of all codes add up to the number of calls.
 */

/** Code of a call that ended before its message had arrived, without an answer. */
const NO_MESSAGE = 'NO_MESSAGE';

/** Code of a request whose content type is not gRPC's. It is answered with HTTP status 415. */
const NOT_GRPC = 'NOT_GRPC';

/** The label of calls whose path is no method of ours: a label must have few values. */
const UNKNOWN_METHOD = 'unknown';

/** Calls that a handler or an interceptor counts. */
const claimed = new WeakSet<ServerHttp2Stream>();

/** Claims the count of a call, so that it is counted once. @returns false where it is claimed already */
export function claimCount(stream: ServerHttp2Stream | undefined): boolean {
  if (!stream) return true;
  if (claimed.has(stream)) return false;
  claimed.add(stream);
  return true;
}

export interface UncountedCall {
  /** Name of one of our methods, or `unknown`. */
  readonly method: string;
  /** Name of a gRPC status, `NO_MESSAGE` or `NOT_GRPC`. */
  readonly code: string;
  /** As the caller sent it, cut to 200 characters. */
  readonly path: string;
  readonly peer: string;
}

export interface UncountedOptions {
  /** Paths of our methods. */
  readonly paths: ReadonlySet<string>;
  /** Whether a path is of another service on this server (health, reflection): its calls are not counted. */
  readonly isForeign: (path: string) => boolean;
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
  const { paths, isForeign, ended } = options;

  function onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'] ?? '';
    if (isForeign(path)) return;
    const socket = stream.session?.socket;
    const peer = `${socket?.remoteAddress}:${socket?.remotePort}`;
    const end = (): void => {
      if (!claimCount(stream)) return;
      const method = paths.has(path) ? methodName({ path }) : UNKNOWN_METHOD;
      ended({ method, code: codeOf(stream), path: path.slice(0, PATH_CHARACTERS), peer });
    };
    // A stream that was reset before it was read closes only when it is read; `aborted` comes at once. Handlers claim their
    // calls when these begin, so before either event.
    stream.once('aborted', end);
    stream.once('close', end);
  }

  // Before grpc-js, which may answer and so close a stream in its own listener.
  for (const server of servers) server.prependListener('stream', onStream);
}
