/** A time as seconds and nanoseconds since 1970, as spans have it. */
export type SpanTime = [seconds: number, nanoseconds: number];

/** Converts performance.now() to the time of day. */
export type ToTime = (ms: number) => SpanTime;

/** Milliseconds by which the clock of the machine may differ before it is read again. */
const TOLERANCE_MS = 20;

/**
 * The time of day of spans. Durations are measured by performance.now(), which no correction of the clock changes; so that the spans of
 * one call lie within each other, all use the same difference between the two clocks.
 */
export interface SpanClock {
  /** The difference as it is now, for the spans of one call. */
  origin(): ToTime;
}

/** @param wall the time of day in ms @param steady performance.now() */
export function createSpanClock(wall: () => number = Date.now, steady = (): number => performance.now()): SpanClock {
  let offset = wall() - steady();
  return {
    origin() {
      const now = wall() - steady();
      // Date.now() has whole milliseconds: following it closely would only add noise.
      if (Math.abs(now - offset) > TOLERANCE_MS) offset = now;
      const fixed = offset;
      return (ms) => {
        const at = fixed + ms;
        const seconds = Math.floor(at / 1000);
        return [seconds, Math.min(999_999_999, Math.round((at - seconds * 1000) * 1e6))];
      };
    },
  };
}
