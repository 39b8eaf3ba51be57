import { Metadata } from '@grpc/grpc-js';
import { encodeStatusDetails, statusDetailsKey } from '../../proto/statusDetails.js';
import type { Status } from '../call/errors.js';
import { addTimes } from './timeTrailers.js';

/** A status as grpc-js sends it: what programs read of it (google.rpc.Status) goes into the trailing metadata. */
export function withDetails(failure: Status, metadata = new Metadata()): Status & { readonly metadata: Metadata } {
  metadata.set(statusDetailsKey, encodeStatusDetails(failure));
  return { ...failure, metadata };
}

/** The same for a call that no handler saw, with how long it took. @param start as of `addTimes` */
export function timedStatus(failure: Status, start: number): Status & { readonly metadata: Metadata } {
  const trailer = new Metadata();
  addTimes(trailer, start);
  return withDetails(failure, trailer);
}
