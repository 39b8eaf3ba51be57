import { randomUUID } from 'node:crypto';
import type { ServerHttp2Stream } from 'node:http2';
import type { Metadata } from '@grpc/grpc-js';

/** Metadata key of the id of a call, in both directions. */
export const requestIdKey = 'x-request-id';

/**
 * What the interceptors know of a call, for its handler. The interceptor next to the wire creates it when the metadata of the
 * call arrives.
 */
export interface CallContext {
  /** Names the call in every log line and in the trailing metadata. */
  readonly requestId: string;
  /** The HTTP/2 stream of the call. Absent in calls of tests that have none. */
  readonly stream: ServerHttp2Stream | undefined;
  /** Name of the token's holder, where calls need a token. */
  caller?: string;
  /**
   * Set by a handler of streams: it is called with the error of a message that cannot be read, and ends the call itself when
   * the items before it are answered.
   */
  onMessageError?: (error: Error) => void;
}

/** Keyed by the call's own metadata object, so that no header of a caller can pass for it. */
const contexts = new WeakMap<Metadata, CallContext>();

/** The id that a caller gives, where it is safe in logs and headers: up to 128 characters, such as a UUID or a trace id. */
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

/** The fields by which log lines name a call. */
export function logFields(context: CallContext | undefined): { readonly requestId?: string; readonly caller?: string } {
  if (!context) return {};
  const { requestId, caller } = context;
  return { requestId, ...(caller !== undefined && { caller }) };
}
