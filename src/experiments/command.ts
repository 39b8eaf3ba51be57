/** Commands of `vicregl` that run as processes of their own: a crash costs one cell, and memory is given back. */

/** How a command ended. */
export interface CommandEnd {
  /** null after a signal. */
  readonly code: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  /** The last lines. */
  readonly stderr: string;
}

export interface RunningCommand {
  readonly ended: Promise<CommandEnd>;
  /** Stops it: training at its next step with a checkpoint, anything else at once. */
  stop(): void;
}

/**
 * Starts `vicregl ...`. The command also stops if this process ends, by whatever cause.
 * @param log file to which its output is appended. @param scratch folder for its temporary files.
 */
export type StartCommand = (
  args: readonly string[],
  place: { readonly log: string; readonly scratch: string },
) => RunningCommand;

/** The error of a command that failed, in its own words. */
export function failureOf({ code, signal, stderr }: CommandEnd): string {
  if (signal !== null) {
    const memory = signal === 'SIGKILL' ? '; the system does this when memory is short' : '';
    return `ended by ${signal}${memory}`;
  }
  const lines = stderr.trimEnd().split('\n');
  const at = lines.findLastIndex((line) => line.startsWith('vicregl: ') || line.startsWith('error: '));
  const text = lines
    .slice(at === -1 ? -3 : at)
    .join('\n')
    .replace(/^(vicregl|error): /, '')
    .replace(' (VICREGL_DEBUG=1 shows more)', '')
    .trim();
  return text === '' ? `exit code ${code}` : text;
}
