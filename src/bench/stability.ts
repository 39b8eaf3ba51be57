import { median } from './quantile.js';

/** Criterion for a stable measurement. */
export interface Agreement {
  /** Number of last windows that must agree. */
  readonly windows: number;
  /** Maximum deviation of each window from their median, relative to the median. */
  readonly tolerance: number;
}

/** The default of Triton's perf_analyzer: the last three windows within 10 %. */
export const defaultAgreement: Agreement = { windows: 3, tolerance: 0.1 };

function agree(values: readonly number[], tolerance: number): boolean {
  const middle = median(values);
  return values.every((value) => Math.abs(value - middle) <= tolerance * Math.abs(middle));
}

/**
 * Whether a measurement is stable: each figure agrees over the last windows.
 * @param windows the figures of each window, such as [rate, median latency], in order; all windows have the same figures
 */
export function isStable(windows: readonly (readonly number[])[], agreement: Agreement = defaultAgreement): boolean {
  const last = windows.slice(-agreement.windows);
  if (last.length < agreement.windows) return false;
  return last[0]!.every((_, figure) =>
    agree(
      last.map((window) => window[figure]!),
      agreement.tolerance,
    ),
  );
}
