import type { Metadata } from '@grpc/grpc-js';
import type { Phase } from '../call/phases.js';

/**
 * Puts into trailing metadata how long a call took: `vicregl-total-ms`, and `vicregl-phase-NAME-ms` for each phase.
 * @param start when its message, or of a call that was refused before it came, its metadata arrived, as performance.now()
 */
export function addTimes(metadata: Metadata, start: number, phases: ReadonlyMap<Phase, number> = new Map()): void {
  for (const [phase, seconds] of phases) metadata.set(`vicregl-phase-${phase}-ms`, (seconds * 1000).toFixed(3));
  metadata.set('vicregl-total-ms', (performance.now() - start).toFixed(3));
}
