import { type IntervalHistogram, monitorEventLoopDelay } from 'node:perf_hooks';
import { Gauge, type Registry } from 'prom-client';

/** Sampling interval in ms. Every sample contains it. */
const RESOLUTION_MS = 1;

/** Milliseconds for which one histogram counts. */
const WINDOW_MS = 20_000;

/** Delay of the event loop's timers in seconds, over the last 10 to 20 s. */
export interface EventLoopLag {
  /** @param percentile 0 to 100 */
  percentile(percentile: number): number;
  readonly max: number;
  stop(): void;
}

/** The delay of a sample: Node's histogram has the time between samples, which contains the sampling interval. */
export function lagOf(nanoseconds: number): number {
  return Math.max(0, nanoseconds / 1e9 - RESOLUTION_MS / 1000);
}

/**
 * Measures the lag of this thread's event loop. It differs from prom-client's `nodejs_eventloop_lag_*` in two ways. Those are reset
 * by every scrape, so that with two Prometheus replicas one misses a stall, and they contain a sampling interval of 10 ms, twice the
 * lag of this service under load. Here two histograms are reset alternately, so that every scrape covers at least the last 10 s,
 * and nothing older than 20 s.
 */
export function measureEventLoopLag(): EventLoopLag {
  const histograms = [0, 1].map(() => monitorEventLoopDelay({ resolution: RESOLUTION_MS })) as [
    IntervalHistogram,
    IntervalHistogram,
  ];
  for (const histogram of histograms) histogram.enable();
  /** Index of the histogram that has counted for longer. */
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

/** Registers the lag as gauges. */
export function registerEventLoopLag(registry: Registry, lag: EventLoopLag): void {
  for (const [name, what, read] of [
    ['p50', 'Median', () => lag.percentile(50)],
    ['p99', '99th percentile', () => lag.percentile(99)],
    ['max', 'Maximum', () => lag.max],
  ] as const) {
    new Gauge({
      name: `vicregl_event_loop_lag_${name}_seconds`,
      help: `${what} of the delay of the event loop's timers in the last 10 to 20 s, less the sampling interval.`,
      registers: [registry],
      collect() {
        this.set(read());
      },
    });
  }
}
