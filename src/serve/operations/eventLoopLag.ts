import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

/** Sampling interval in ms: what a sample is too large by. */
const RESOLUTION_MS = 1;

/** How long one histogram counts, in ms. */
const WINDOW_MS = 20_000;

/** How late the event loop came to its timers, in seconds, over the last 10 to 20 s. */
export interface EventLoopLag {
  /** @param percentile 0 to 100 */
  percentile(percentile: number): number;
  readonly max: number;
  stop(): void;
}

/** Node's histogram holds the time from one sample to the next: the delay is what is beyond the sampling interval. */
export function lagOf(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000);
}

/**
 * Measures the lag of this thread's event loop. Two histograms take turns at being emptied, so that a scrape always sees at
 * least half a window, and nothing of long ago, however many scrape and how often.
 */
export function measureEventLoopLag(): EventLoopLag {
  const histograms = [0, 1].map(() => monitorEventLoopDelay({ resolution: RESOLUTION_MS })) as [
    IntervalHistogram,
    IntervalHistogram,
  ];
  for (const histogram of histograms) histogram.enable();
  /** The one that has counted for longer. */
  let older = 0;
  const timer = setInterval(() => {
    histograms[older]!.reset();
    older = 1 - older;
  }, WINDOW_MS / 2).unref();
  const full = (): IntervalHistogram => histograms[older]!;
  return {
    percentile: (percentile) => (full().count === 0 ? 0 : lagOf(full().percentile(percentile))),
    get max() {
      return full().count === 0 ? 0 : lagOf(full().max);
    },
    stop() {
      clearInterval(timer);
      for (const histogram of histograms) histogram.disable();
    },
  };
}

/** Shows the lag as gauges. */
export function registerEventLoopLag(registry: Registry, lag: EventLoopLag): void {
  for (const [name, what, read] of [
    ['p50', 'Median', () => lag.percentile(50)],
    ['p99', '99th percentile', () => lag.percentile(99)],
    ['max', 'Maximum', () => lag.max],
  ] as const) {
    new Gauge({
      name: `vicregl_event_loop_lag_${name}_seconds`,
      help: `${what} of how late the event loop came to its timers in the last 10 to 20 s, less the sampling interval.`,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
