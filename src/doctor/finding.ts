/**
 * - `ok`: nothing to do
 * - `warning`: the service runs, with less than it could
 * - `error`: the service does not run, or not with this configuration
 */
export type Severity = 'ok' | 'warning' | 'error';

/** The result of one check. */
export interface Finding {
  /** Name of the check, for programs; several findings may have the same. */
  readonly check: string;
  readonly severity: Severity;
  /** What was found, with names and versions. */
  readonly found: string;
  /** What to do, in a paragraph; absent for `ok`. */
  readonly advice?: string;
}

export const ok = (check: string, found: string): Finding => ({ check, severity: 'ok', found });

export const warning = (check: string, found: string, advice: string): Finding => ({
  ...{ check, severity: 'warning', found, advice },
});

export const error = (check: string, found: string, advice: string): Finding => ({
  ...{ check, severity: 'error', found, advice },
});

/** The first line of an error's message. */
export const messageOf = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)).split('\n', 1)[0]!;

/** An error's whole message as one line, for a paragraph of advice. */
export const lineOf = (thrown: unknown): string =>
  (thrown instanceof Error ? thrown.message : String(thrown)).replace(/\s*\n\s*/g, '; ');

/** The most serious of some findings. */
export function worst(findings: readonly Finding[]): Severity {
  const has = (severity: Severity): boolean => findings.some((finding) => finding.severity === severity);
  return has('error') ? 'error' : has('warning') ? 'warning' : 'ok';
}

/** A number of bytes in MiB or GiB. */
export const size = (bytes: number): string =>
  bytes >= 2 ** 30 ? `${(bytes / 2 ** 30).toFixed(1)} GiB` : `${Math.round(bytes / 2 ** 20)} MiB`;
