/** Runs of a size class that are remembered: of an odd number, so that their median is one of them. */
const REMEMBERED_RUNS = 5;

/** Number of runs before a size class counts: the first runs are slower, since they allocate memory and load code. */
const FEWEST_RUNS = 3;

/** Shortest time in ms after its last run for which a size class counts. */
const LIFETIME_MS = 10_000;

/** Runs that a size class outlives: where a run takes longer than the shortest lifetime, it still counts until the next one. */
const LIFETIME_RUNS = 4;

interface Run {
  readonly pixels: number;
  readonly seconds: number;
}

/** Runs with a number of pixels between two powers of two. */
interface SizeClass {
  /** Newest last. */
  readonly runs: Run[];
  /** The run with the median time per pixel; undefined before there are enough runs. */
  readonly median: Run | undefined;
  /** As performance.now(). */
  readonly until: number;
}

/**
 * Estimates the time of a run from that of earlier runs.
 *
 * A run has a fixed cost, and a pixel costs less in a larger run: the time per pixel of one size says nothing certain about
 * another. Runs are therefore remembered by size class, and only runs of its own class, where there are any, give the time of a
 * run. Other classes give a lower bound: a run takes at least as long as a smaller one, and at least its share of a larger one.
 *
 * The estimate must recover from runs that were slow by chance: the median of a class ignores one or two of them, three new runs
 * replace it, and a class without new runs is forgotten.
 */
export interface RunTimeEstimate {
  /** Records the pixels and the seconds of a run. */
  measured(pixels: number, seconds: number): void;
  /** Estimated seconds of a run; undefined while no size class counts. */
  secondsFor(pixels: number): number | undefined;
}

const classOf = (pixels: number): number => Math.floor(Math.log2(pixels));

function medianRun(runs: readonly Run[]): Run {
  const sorted = runs.toSorted((a, b) => a.seconds / a.pixels - b.seconds / b.pixels);
  return sorted[Math.floor(sorted.length / 2)]!;
}

export function createRunTimeEstimate(): RunTimeEstimate {
  /** At most one for each power of two that a number of pixels can have. */
  const classes = new Map<number, SizeClass>();

  function dropExpired(): void {
    const now = performance.now();
    for (const [key, { until }] of classes) if (until <= now) classes.delete(key);
  }

  return {
    measured(pixels, seconds) {
      dropExpired();
      const key = classOf(pixels);
      const known = classes.get(key);
      const runs = [...(known?.runs ?? []), { pixels, seconds }].slice(-REMEMBERED_RUNS);
      classes.set(key, {
        runs,
        median: runs.length < FEWEST_RUNS ? undefined : medianRun(runs),
        until: performance.now() + Math.max(LIFETIME_MS, LIFETIME_RUNS * seconds * 1000),
      });
    },
    secondsFor(pixels) {
      dropExpired();
      const own = classes.get(classOf(pixels))?.median;
      if (own) return own.seconds * (pixels / own.pixels);
      let seconds: number | undefined;
      for (const { median } of classes.values()) {
        if (median) seconds = Math.max(seconds ?? 0, median.seconds * Math.min(1, pixels / median.pixels));
      }
      return seconds;
    },
  };
}
