import { constants, type ServerHttp2Stream } from 'node:http2';
import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** By the call's own metadata object, as `callFacts`. */
const streams = new WeakMap<Metadata, Pick<ServerHttp2Stream, 'close'>>();

/**
 * Remembers the HTTP/2 stream of a call, which grpc-js keeps to itself.
 * @param call as the interceptor next to the wire gets it
 */
export function rememberStream(metadata: Metadata, call: ServerInterceptingCallInterface): void {
  const { stream } = call as unknown as { readonly stream?: ServerHttp2Stream };
  if (stream) streams.set(metadata, stream);
}

/**
 * Resets a call's HTTP/2 stream and drops what was written to it. A status would not do: grpc-js sends it as trailers, and
 * these wait behind messages that flow control holds back. Callers see RESOURCE_EXHAUSTED (gRPC's reading of the code).
 */
export function resetCall(metadata: Metadata): void {
  streams.get(metadata)?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}
