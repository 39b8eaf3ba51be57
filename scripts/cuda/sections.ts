import { type ChildProcess, spawn } from 'node:child_process';

/** Sections of a report. Each runs in its own process, so that one that fails or hangs does not affect the others. */

export interface Section {
  readonly name: string;
  /** Heading in the report. */
  readonly title: string;
  readonly command: string;
  readonly args: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  /** Time limit in seconds, after which the process is ended. */
  readonly budget: number;
  /** Whether the sections after it are skipped when it fails. */
  readonly needed?: boolean;
}

export interface SectionResult {
  readonly name: string;
  readonly title: string;
  readonly status: 'ok' | 'failed' | 'out of time' | 'skipped';
  readonly seconds: number;
  /** The JSON that it printed, one value for each line. It is kept when the section fails later. */
  readonly data: readonly unknown[];
  /** Reason of the failure, and the end of its stderr. */
  readonly error?: string;
}

/** Characters of stderr that are kept, from its end. */
const MAX_STDERR_CHARACTERS = 2_000;
/** Milliseconds between SIGTERM and SIGKILL. */
const GRACE_MS = 3_000;

function parseJson(text: string): unknown[] {
  try {
    return [JSON.parse(text)];
  } catch {
    return [];
  }
}

/** The output as one JSON value, or one value for each line that is JSON. */
function jsonOf(output: string): unknown[] {
  const whole = parseJson(output);
  return whole.length > 0 ? whole : output.split('\n').flatMap((line) => (/^[[{]/.test(line) ? parseJson(line) : []));
}

/** Sends a signal to a process and all processes that it started. */
function signalGroup({ pid }: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (pid !== undefined) process.kill(-pid, signal);
  } catch {
    // No process of the group is left.
  }
}

/** Runs a section until it ends or reaches its time limit. Never rejects. */
export function runSection(section: Section): Promise<SectionResult> {
  const { name, title, command, args, environment, budget } = section;
  const start = performance.now();
  // In its own process group, so that the processes it starts end with it.
  const child = spawn(command, args, {
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
    env: { ORT_DISABLE_TELEMETRY: '1', ...process.env, ...environment },
  });
  let [output, stderrTail, timedOut] = ['', '', false];
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderrTail = (stderrTail + text).slice(-MAX_STDERR_CHARACTERS);
  });
  let killTimer: NodeJS.Timeout | undefined;
  const timer = setTimeout(() => {
    timedOut = true;
    signalGroup(child, 'SIGTERM');
    killTimer = setTimeout(() => signalGroup(child, 'SIGKILL'), GRACE_MS);
  }, budget * 1e3);
  return new Promise((resolve) => {
    const settle = (failure: string | undefined) => {
      clearTimeout(timer);
      clearTimeout(killTimer);
      signalGroup(child, 'SIGKILL');
      const error = timedOut ? `took longer than ${budget} s` : failure;
      resolve({
        name,
        title,
        status: timedOut ? 'out of time' : failure === undefined ? 'ok' : 'failed',
        seconds: Number(((performance.now() - start) / 1e3).toFixed(1)),
        data: jsonOf(output),
        ...(error !== undefined && { error: [error, stderrTail.trim()].filter(Boolean).join(': ') }),
      });
    };
    child.on('error', (error) => settle(error.message));
    child.on('close', (code, signal) =>
      settle(code === 0 ? undefined : signal ? `signal ${signal}` : `exit code ${code}`),
    );
  });
}

/**
 * Runs sections in sequence.
 * @param minutes time limit of all sections together. Sections that would start later are skipped, and the last one that
 * starts has a shorter limit.
 * @param progress called at the end of each section
 */
export async function runSections(
  sections: readonly Section[],
  minutes: number,
  progress: (result: SectionResult) => void = () => {},
): Promise<SectionResult[]> {
  const end = performance.now() + minutes * 60e3;
  const results: SectionResult[] = [];
  let blocked: string | undefined;
  for (const section of sections) {
    const left = (end - performance.now()) / 1e3;
    const reason = blocked ?? (left < 1 ? `the ${minutes} minutes are over` : undefined);
    const { name, title, budget } = section;
    const result: SectionResult =
      reason === undefined
        ? await runSection({ ...section, budget: Math.min(budget, Math.floor(left)) })
        : { name, title, status: 'skipped', seconds: 0, data: [], error: reason };
    if (section.needed && result.status !== 'ok') blocked ??= `"${name}" failed, which the other sections need`;
    results.push(result);
    progress(result);
  }
  return results;
}
