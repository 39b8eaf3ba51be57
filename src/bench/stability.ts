import { median } from './quantile.js';

/** What is compared from window to window. */
export interface Agreement {
  /** Windows that must agree, the last ones. */
  readonly windows: number;
  /** How far each may lie from their median, as a share of it. */
  readonly tolerance: number;
}

/** Triton's perf_analyzer: the last three windows within 10 %. */
export const defaultAgreement: Agreement = { windows: 3, tolerance: 0.1 };

function agree(values: readonly number[], tolerance: number): boolean {
  const middle = median(values);
  return values.every((value) => Math.abs(value - middle) <= tolerance * Math.abs(middle));
}

/**
 * Whether a measurement has settled: in its last windows every one of its figures agrees.
 * @param windows figures of each window in order, such as [rate, median latency]; the same number in each
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
