/**
 * Phases of a request that are timed. `queue` is the wait for a worker, a place in its queue included; `wait` is every other wait
 * for capacity: for a turn to decode, to match, to pool or to reduce, and for the bytes of maps.
 */
export type Phase = 'receive' | 'wait' | 'decode' | 'queue' | 'inference' | 'match' | 'encode';

/**
 * Phases that one message goes through in parts, such as the tensors of each image of a batch. They are reported once for each
 * message, as the sum of the parts: quantiles of the parts would be those of a mixture.
 */
const SUMMED: ReadonlySet<Phase> = new Set(['wait', 'encode']);

/** Told how long a phase took, in seconds. */
export type ObservePhase = (phase: Phase, seconds: number) => void;

/** Records how long each phase of one message took, and reports it to whoever keeps statistics. */
export interface PhaseRecorder {
  /** Seconds of each phase so far. */
  readonly seconds: ReadonlyMap<Phase, number>;
  /** Records a phase, or a part of one. */
  readonly observe: ObservePhase;
  /** Reports the phases that are summed up. To be called when the message is answered, or has failed. */
  finish(): void;
  /** A recorder for one of the messages of a stream. What it reports is reported here, and counts among `seconds`. */
  forItem(): PhaseRecorder;
}

/** @param report called with every phase as it ends, and once, by `finish`, with those that are summed up */
export function createPhaseRecorder(report: ObservePhase): PhaseRecorder {
  const seconds = new Map<Phase, number>();
  const unreported = new Map<Phase, number>();
  const add = (sums: Map<Phase, number>, phase: Phase, took: number): void => {
    sums.set(phase, (sums.get(phase) ?? 0) + took);
  };
  return {
    seconds,
    observe(phase, took) {
      add(seconds, phase, took);
      if (SUMMED.has(phase)) add(unreported, phase, took);
      else report(phase, took);
    },
    finish() {
      for (const [phase, sum] of unreported) report(phase, sum);
      unreported.clear();
    },
    forItem: () =>
      createPhaseRecorder((phase, took) => {
        add(seconds, phase, took);
        report(phase, took);
      }),
  };
}
