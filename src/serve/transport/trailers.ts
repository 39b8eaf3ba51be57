import { Metadata } from '@grpc/grpc-js';
import { encodeStatusDetails, statusDetailsKey } from '../../proto/statusDetails.js';
import type { Status } from '../call/errors.js';
import type { Phase } from '../call/phases.js';

/** A status with its trailing metadata, as grpc-js sends it. */
export type StatusWithTrailers = Status & { readonly metadata: Metadata };

/**
 * Adds the durations of a call to its trailing metadata: `vicregl-total-ms`, and `vicregl-phase-NAME-ms` for each phase.
 * @param totalMs milliseconds since the message of the call arrived; for a call that was rejected before that, since its metadata
 *   arrived
 */
export function addDurations(
  metadata: Metadata,
  totalMs: number,
  phases: ReadonlyMap<Phase, number> = new Map(),
): void {
  for (const [phase, seconds] of phases) metadata.set(`vicregl-phase-${phase}-ms`, (seconds * 1000).toFixed(3));
  metadata.set('vicregl-total-ms', totalMs.toFixed(3));
}

/** Adds the details of an error for programs (google.rpc.Status) to its trailing metadata. */
export function withDetails(failure: Status, metadata: Metadata): StatusWithTrailers {
  metadata.set(statusDetailsKey, encodeStatusDetails(failure));
  return { ...failure, metadata };
}

/** The status of a call that was rejected before its handler, with details and durations. @param start when its metadata arrived, as performance.now() */
export function rejectionStatus(failure: Status, start: number): StatusWithTrailers {
  const metadata = new Metadata();
  addDurations(metadata, performance.now() - start);
  return withDetails(failure, metadata);
}
