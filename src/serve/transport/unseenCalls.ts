import type { Http2SecureServer, Http2Server, IncomingHttpHeaders, ServerHttp2Stream } from 'node:http2';
import { status } from '@grpc/grpc-js';
import { sentStatus } from './callStream.js';
import { methodName } from './codec.js';

/**
 * Calls that end without anything of ours having counted them: no method has their path, they are not gRPC, grpc-js answered
 * them beneath all interceptors, or their caller was gone before the message had come whole. Each is counted once, by what
 * HTTP/2 has seen of it, so that the counts of all codes add up to the calls that came.
 */

/** Code of a call that ended before anything was answered, since its message had not arrived. */
const NO_MESSAGE = 'NO_MESSAGE';

/** Code of a request that is not gRPC by its content type, which is answered by HTTP's status 415. */
const NOT_GRPC = 'NOT_GRPC';

/** Methods of calls that no method has, whatever their path says: a label has to have few values. */
const UNKNOWN_METHOD = 'unknown';

/** Calls that are counted by those who answer them. */
const claimed = new WeakSet<ServerHttp2Stream>();

/** Says that somebody counts a call when it ends. @returns whether nobody had said so before */
export function claimCall(stream: ServerHttp2Stream | undefined): boolean {
  if (!stream) return true;
  if (claimed.has(stream)) return false;
  claimed.add(stream);
  return true;
}

export interface UnseenCall {
  /** Name of one of our methods, or `unknown`. */
  readonly method: string;
  /** Name of a gRPC status, `NO_MESSAGE` or `NOT_GRPC`. */
  readonly code: string;
  /** As the caller sent it, cut to a length that a log can take. */
  readonly path: string;
  readonly peer: string;
}

export interface UnseenOptions {
  /** Paths of our methods. */
  readonly paths: ReadonlySet<string>;
  /** Whether calls of a path are not counted: those of services beside ours. */
  readonly isForeign: (path: string) => boolean;
  readonly ended: (call: UnseenCall) => void;
}

const PATH_CHARACTERS = 200;

function codeOf(stream: ServerHttp2Stream): string {
  const sent = sentStatus(stream);
  if (sent) return status[sent.code] ?? 'UNKNOWN';
  return stream.sentHeaders?.[':status'] === 415 ? NOT_GRPC : NO_MESSAGE;
}

/** What the log says of a call that ended with a code of these. */
export function unseenMessage(code: string): string {
  if (code === NO_MESSAGE) return 'the call ended before its whole message had arrived';
  if (code === NOT_GRPC) return 'the request was not gRPC by its content-type';
  return 'the call was ended before it reached a method';
}

/** Watches every stream of the servers; what ends unclaimed is told. */
export function watchUnseenCalls(servers: readonly (Http2Server | Http2SecureServer)[], options: UnseenOptions): void {
  const { paths, isForeign, ended } = options;

  function onStream(stream: ServerHttp2Stream, headers: IncomingHttpHeaders): void {
    const path = headers[':path'] ?? '';
    if (isForeign(path)) return;
    const socket = stream.session?.socket;
    const peer = `${socket?.remoteAddress}:${socket?.remotePort}`;
    const end = (): void => {
      if (!claimCall(stream)) return;
      const method = paths.has(path) ? methodName({ path }) : UNKNOWN_METHOD;
      ended({ method, code: codeOf(stream), path: path.slice(0, PATH_CHARACTERS), peer });
    };
    // A stream that was reset while nobody read it is closed only when it has been read: `aborted` comes at once. Those who
    // answer hear of the same events, and claim theirs when the call begins.
    stream.once('aborted', end);
    stream.once('close', end);
  }

  // Before grpc-js, which may answer a stream, and so close it, when it hears of it.
  for (const server of servers) server.prependListener('stream', onStream);
}
