import { median } from './quantile.js';

/** Memory at a time. */
export interface MemorySample {
  /** Minutes since the start. */
  readonly minute: number;
  /** Resident memory, MB. */
  readonly mb: number;
}

/** Growth of memory in MB a minute: the median slope over all pairs of samples (Theil-Sen estimator), which single peaks do not move. */
export function mbPerMinute(samples: readonly MemorySample[]): number {
  return median(
    samples.flatMap((a, i) =>
      samples
        .slice(i + 1)
        .filter((b) => b.minute > a.minute)
        .map((b) => (b.mb - a.mb) / (b.minute - a.minute)),
    ),
  );
}
