import { constants } from 'node:http2';
import type { Metadata } from '@grpc/grpc-js';
import { streamOf } from './callStream.js';

/**
 * Resets a call's HTTP/2 stream and drops what was written to it. A status would not do: grpc-js sends it as trailers, and
 * these wait behind messages that flow control holds back. Callers see RESOURCE_EXHAUSTED (gRPC's reading of the code).
 */
export function resetCall(metadata: Metadata): void {
  streamOf(metadata)?.close(constants.NGHTTP2_ENHANCE_YOUR_CALM);
}
