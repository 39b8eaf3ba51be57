import { Metadata } from '@grpc/grpc-js';
import { encodeStatusDetails, statusDetailsKey } from '../../proto/statusDetails.js';
import type { Status } from '../errors.js';

/** A status as grpc-js sends it: what programs read of it (google.rpc.Status) goes into the trailing metadata. */
export function withDetails(failure: Status, metadata = new Metadata()): Status & { readonly metadata: Metadata } {
  metadata.set(statusDetailsKey, encodeStatusDetails(failure));
  return { ...failure, metadata };
}
