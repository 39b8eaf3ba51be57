import type { Metadata } from '@grpc/grpc-js';
import type { PhaseTimes__Output } from '../proto/generated/vicregl/v1/PhaseTimes.js';

/** Milliseconds that the service spent in each phase; phases that did not occur are absent. */
export type Phases = Readonly<Partial<Record<(typeof names)[number], number>>>;

const names = ['receive', 'wait', 'decode', 'queue', 'inference', 'match', 'encode'] as const;

/** The phases in the trailing metadata of a call. */
export function phasesIn(metadata: Metadata): Phases {
  return Object.fromEntries(
    names.flatMap((name) => {
      const [value] = metadata.get(`vicregl-phase-${name}-ms`);
      return value === undefined ? [] : [[name, Number(value)]];
    }),
  );
}

/** The phases of one item of a stream. */
export function readPhases(times: PhaseTimes__Output | null): Phases {
  return Object.fromEntries(
    names.flatMap((name) => {
      const ms = times?.[`${name}Ms`] ?? 0;
      return ms > 0 ? [[name, ms]] : [];
    }),
  );
}
