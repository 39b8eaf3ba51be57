import type { ServerHttp2Stream } from 'node:http2';
import type { Metadata } from '@grpc/grpc-js';
import type { CallSpan } from '../call/trace.js';
import { type CallIdentity, requestIdKey, safeRequestId } from '../dispatch/callIdentity.js';

/**
 * Facts about a call that the interceptors pass to its handler. The innermost interceptor creates it when the metadata of the call
 * arrives.
 */
export interface CallContext extends CallIdentity {
  /** The HTTP/2 stream of the call. Undefined only in tests. */
  readonly stream: ServerHttp2Stream | undefined;
  /**
   * Set by handlers of streams: called with the error of a message that cannot be read. The handler ends the call when the earlier
   * items are answered.
   */
  onMessageError?: (error: Error) => void;
}

/** Keyed by the metadata object of the call, so that callers cannot forge it by headers; and by its stream. */
const contexts = new WeakMap<Metadata | ServerHttp2Stream, CallContext>();

/** What else is known of a call when its context is created. */
interface NewCall {
  /** The protocol in log lines, if it is not our own. */
  readonly protocol?: string | undefined;
  /** Begins the server span of the call. */
  begin?(requestId: string): CallSpan | undefined;
}

/** Creates the context of a call from its metadata. */
export function createCallContext(
  metadata: Metadata,
  stream: ServerHttp2Stream | undefined,
  { protocol, begin }: NewCall = {},
): CallContext {
  const requestId = safeRequestId(metadata.get(requestIdKey)[0]?.toString());
  const context: CallContext = { requestId, stream, protocol, span: begin?.(requestId) };
  contexts.set(metadata, context);
  if (stream) contexts.set(stream, context);
  return context;
}

/** The context of a call; undefined for a call that no interceptor has seen. */
export function callContext(call: Metadata | ServerHttp2Stream): CallContext | undefined {
  return contexts.get(call);
}
