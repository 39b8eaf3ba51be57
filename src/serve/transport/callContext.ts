import { randomUUID } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import type { Metadata } from '@grpc/grpc-js';

/** Metadata key of the id of a call, in both directions. */
export const requestIdKey = 'x-request-id';

/**
 * Facts about a call that the interceptors pass to its handler. The innermost interceptor creates it when the metadata of the call
 * arrives.
 */
export interface CallContext {
  /** Identifies the call in log lines and in the trailing metadata. */
  readonly requestId: string;
  /** The HTTP/2 stream of the call. Undefined only in tests. */
  readonly stream: ServerHttp2Stream | undefined;
  /** Name of the token's holder, if calls need a token. */
  caller?: string;
  /**
   * Set by handlers of streams: called with the error of a message that cannot be read. The handler ends the call when the earlier
   * items are answered.
   */
  onMessageError?: (error: Error) => void;
}

/** Keyed by the metadata object of the call, so that callers cannot forge it by headers. */
const contexts = new WeakMap<Metadata, CallContext>();

/** The caller's id if it is safe in logs and headers (up to 128 characters, such as a UUID or a trace id), otherwise a new id. */
function safeRequestId(given: string | undefined): string {
  return given !== undefined && /^[\w.:/+=@-]{1,128}$/.test(given) ? given : randomUUID();
}

/** Creates the context of a call from its metadata. */
export function createCallContext(metadata: Metadata, stream: ServerHttp2Stream | undefined): CallContext {
  const context: CallContext = { requestId: safeRequestId(metadata.get(requestIdKey)[0]?.toString()), stream };
  contexts.set(metadata, context);
  return context;
}

/** The context of a call; undefined for a call that no interceptor has seen. */
export function callContext(metadata: Metadata): CallContext | undefined {
  return contexts.get(metadata);
}

/** The fields that identify a call in log lines. */
export function logFields(context: CallContext | undefined): { readonly requestId?: string; readonly caller?: string } {
  if (!context) return {};
  const { requestId, caller } = context;
  return { requestId, ...(caller !== undefined && { caller }) };
}
