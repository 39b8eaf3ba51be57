import type { ServerHttp2Stream } from 'node:http2';
import type { Metadata, ServerInterceptingCallInterface } from '@grpc/grpc-js';

/** By the call's own metadata object, as `callFacts`. */
const streams = new WeakMap<Metadata, ServerHttp2Stream>();

/** The HTTP/2 stream of a call as the interceptor next to the wire gets it, which grpc-js keeps to itself. */
export function streamUnder(call: ServerInterceptingCallInterface): ServerHttp2Stream | undefined {
  return (call as unknown as { readonly stream?: ServerHttp2Stream }).stream;
}

/** Remembers the HTTP/2 stream of a call for those who know its metadata. */
export function rememberStream(metadata: Metadata, call: ServerInterceptingCallInterface): void {
  const stream = streamUnder(call);
  if (stream) streams.set(metadata, stream);
}

/** The HTTP/2 stream of a call; nothing for a call that no interceptor has seen. */
export function streamOf(metadata: Metadata): ServerHttp2Stream | undefined {
  return streams.get(metadata);
}

/**
 * The gRPC status that was handed to HTTP/2, as its number. Trailers are asked for when all messages before them were taken,
 * so that their status says that the answer went out; a status that comes alone is only known to have been written.
 */
export function sentStatus(stream: ServerHttp2Stream): { readonly code: number; readonly alone: boolean } | undefined {
  const inTrailers = stream.sentTrailers?.['grpc-status'];
  if (inTrailers !== undefined) return { code: Number(inTrailers), alone: false };
  const inHeaders = stream.sentHeaders?.['grpc-status'];
  return inHeaders === undefined ? undefined : { code: Number(inHeaders), alone: true };
}
